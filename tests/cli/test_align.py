"""`tokxfer align` as a user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vocabulary.vocabularies import added, content_of, small_bpe, write
from tokxfer.cli.main import main


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """A SentencePiece base and a donor of the Llama-3 kind, bare folders both."""
    base = write(tmp_path / "base", content_of("sentencepiece_bpe"))
    return str(base), str(write(tmp_path / "donor", content_of("byte_level_groups")))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    with pytest.raises(SystemExit) as ended:
        main(["align", *arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_the_tables_name_families_counts_and_roles(capsys, pair) -> None:
    code, out, _ = run(capsys, *pair)
    assert code == 0
    for words in (
        "SentencePiece BPE", "byte-level BPE", "560", "520", "same bytes, spelled otherwise",
        "same byte, as a byte token", "without a counterpart", "groups of three", "single",
    ):  # fmt: skip
        assert words in out


def test_a_role_without_counterpart_is_said_to_get_the_mean_row(capsys, pair) -> None:
    _, out, _ = run(capsys, *pair)
    (line,) = [line for line in out.splitlines() if "<|eot_id|>" in line]
    assert "gets the mean row" in line
    (line,) = [line for line in out.splitlines() if "<|end_of_text|>" in line]
    assert "</s>" in line
    assert "mean" not in line


def test_the_warning_of_digits_is_on_stderr_alone(capsys, pair) -> None:
    _, out, err = run(capsys, *pair)
    assert "Warning: Numbers are cut differently" in err
    assert "Warning" not in out


def test_quiet_leaves_stderr_empty(capsys, pair) -> None:
    _, out, err = run(capsys, *pair, "-q")
    assert out
    assert err == ""


def test_json_is_one_document_on_stdout(capsys, pair) -> None:
    code, out, err = run(capsys, *pair, "--json")
    body = json.loads(out)
    assert code == 0
    assert body["schema_version"] == 1
    assert next(iter(body)) == "schema_version"
    assert (body["base_size"], body["donor_size"]) == (560, 520)
    assert body["coverage"] == body["shared"] / 515
    assert body["roles"][0] == {
        "role": "bos",
        "donor_token": "<|begin_of_text|>",
        "donor_id": 0,
        "base_token": "<s>",
        "base_id": 1,
        "row": "base",
    }
    assert body["digits"] == {"base": "single", "donor": "groups of three", "differ": True}
    assert body["text"] is None
    assert "Warning" in err


def test_texts_are_weighed(capsys, pair, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the dog sat", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n', encoding="utf-8")
    texts = ["--text", str(tmp_path / "a.txt"), "--text", str(tmp_path / "b.jsonl")]
    _, out, _ = run(capsys, *pair, *texts, "-q")
    for words in ("On the text", "tokens per word", "bytes per token", "% of tokens shared"):
        assert words in out
    _, out, _ = run(capsys, *pair, *texts, "--json", "--limit", "1", "-q")
    assert json.loads(out)["text"]["documents"] == 2


def test_of_many_markers_the_table_shows_some_and_names_those_without_a_row(
    capsys, tmp_path: Path
) -> None:
    markers = [added(f"<extra_{n}>", n + 1, special=True) for n in range(30)]
    donor = write(tmp_path / "a", small_bpe({"a": 0}, added_tokens=markers))
    base = write(tmp_path / "b", small_bpe({"a": 0}, added_tokens=markers[-10:]))
    _, out, _ = run(capsys, str(base), str(donor))
    assert out.count("gets the mean row") == 12
    assert "and 18 more markers" in out
    rest = " ".join(f"<extra_{n}>" for n in range(12, 20))
    assert f"8 of these get the mean row: {rest}" in out
    assert "<extra_20>" not in out
    _, out, _ = run(capsys, str(base), str(donor), "--json")
    assert len(json.loads(out)["roles"]) == 30


def test_a_donor_without_special_tokens_has_no_table_of_roles(capsys, tmp_path: Path) -> None:
    folder = str(write(tmp_path, small_bpe({"a": 0})))
    _, out, _ = run(capsys, folder, folder)
    assert "Roles" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 1, "nowhere does not exist."),
        ([".", "--text", "nowhere.txt"], 1, "nowhere.txt does not exist."),
        ([".", "--revision", "main"], 2, "is a path on this machine"),
        ([".", "--donor-revision", "main"], 2, "is a path on this machine"),
        (["no-one/nothing", "--offline"], 1, "no-one/nothing"),
        ([".", "--limit", "0"], 2, "--limit"),
        ([], 2, "Missing argument 'DONOR'"),
        (["empty"], 1, "there is no tokenizer.json in it."),
        (["slow"], 1, "only a slow tokenizer (tokenizer.model)"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_a_code(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, code: int, sentence: str
) -> None:
    write(tmp_path, small_bpe({"a": 0}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "tokenizer.model").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    ended, out, err = run(capsys, ".", *arguments)
    assert (ended, out) == (code, "")
    assert sentence in err
    assert "Traceback" not in err


def test_help_ends_with_examples(capsys) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "tokxfer align models/english-spbpe" in out.split("Examples:")[1]


CHECK = """
import sys
from tokxfer.cli.main import main
try:
    main(sys.argv[1:])
finally:
    assert not {"torch", "transformers", "sklearn"} & set(sys.modules), "heavy imports"
"""


def test_aligning_imports_neither_torch_nor_transformers(pair, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the dog sat", encoding="utf-8")
    command = [sys.executable, "-c", CHECK, "align", *pair, "--text", str(tmp_path / "a.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("base", ["gpt2", "mistral"])
def test_a_large_pair_takes_less_than_three_seconds(shared: Path, base: str) -> None:
    """Processor time of the faster of two runs is compared, since others use the cores."""
    folders = [str(shared / "tokenizers" / name) for name in (base, "cl100k")]
    seconds = []
    for _ in range(2):
        before = os.times()
        command = [sys.executable, "-c", CHECK, "align", *folders]
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        spent = after.children_user + after.children_system
        seconds.append(spent - before.children_user - before.children_system)
    assert min(seconds) < 3
