"""`tokxfer doctor` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vocabulary.vocabularies import content_of, write
from tokxfer.cli.main import main


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """A teacher of the Llama-3 kind and a SentencePiece student, bare folders both."""
    teacher = write(tmp_path / "teacher", content_of("byte_level_groups"))
    return str(teacher), str(write(tmp_path / "student", content_of("sentencepiece_bpe")))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_the_tables_name_tokenizers_chunks_and_what_is_lacking(capsys, pair) -> None:
    code, out, _ = run(capsys, *pair)
    assert code == 0
    for words in (
        "byte-level BPE", "SentencePiece BPE", "groups of three", "<|begin_of_text|>", "<|eot_id|>",
        "common boundaries found, %", "On samples of many scripts", "in student's tokens",
        "student lacks", "whitespace",
    ):  # fmt: skip
        assert words in out
    assert "Memory" not in out


def test_warnings_are_on_stderr_alone_unless_quiet(capsys, pair) -> None:
    _, out, err = run(capsys, *pair)
    assert "Warning: Numbers are cut differently: groups of three by the teacher" in err
    assert "Warning" not in out
    _, out, err = run(capsys, *pair, "-q")
    assert out
    assert err == ""


def test_json_is_one_document_on_stdout(capsys, pair, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "the dog"}\n{"text": "x"}\n', encoding="utf-8")
    told = ["--text", str(tmp_path / "a.jsonl"), "--limit", "1", "--json"]
    code, out, _ = run(capsys, *pair, *told)
    body = json.loads(out)
    assert code == 0
    assert next(iter(body)) == "schema_version"
    assert body["schema_version"] == 1
    assert (body["figures"]["texts"], body["figures"]["bytes"]) == (1, 7)
    assert body["figures"]["recall"] == 1.0
    assert sum(body["figures"]["sizes"].values()) == body["figures"]["chunks"]
    assert body["teacher"]["digits"] == "groups of three"
    assert body["student"]["roles"]["bos"] == "<s>"
    assert body["lacks"]["digits"]["teacher"] == []
    assert body["memory"] is None
    assert any("Numbers" in warning for warning in body["warnings"])


def test_chunks_of_other_text_are_shown(capsys, pair, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the ▁dog", encoding="utf-8")
    _, out, err = run(capsys, *pair, "--text", str(tmp_path / "a.txt"))
    assert "text 1: '" in out
    assert "▁" in out.split("text 1: ")[1].split(" is ")[0]
    assert "chunks hold other text on one side" in err


def test_memory_is_told_of_models(capsys, models: Path) -> None:
    names = [str(models / name) for name in ("english-bytebpe", "english-spbpe")]
    _, out, _ = run(capsys, *names, "--batch-size", "4", "--max-length", "64", "--device", "cpu")
    assert "Memory of a step of 4 rows of 64 tokens, estimated" in out
    for words in ("student's weights", "optimizer (AdamW)", "not held", "free now"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 1, "nowhere does not exist."),
        ([".", "--text", "nowhere.txt"], 1, "nowhere.txt does not exist."),
        ([".", "--student-revision", "main"], 2, "is a path on this machine"),
        ([".", "--batch-size", "0"], 2, "--batch-size"),
        ([], 2, "Missing argument 'STUDENT'"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_a_code(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, code: int, sentence: str
) -> None:
    write(tmp_path, content_of("gemma"))
    monkeypatch.chdir(tmp_path)
    ended, out, err = run(capsys, ".", *arguments)
    assert (ended, out) == (code, "")
    assert sentence in err
    assert "Traceback" not in err


def test_help_ends_with_examples(capsys) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "tokxfer doctor models/english-bytebpe" in out.split("Examples:")[1]
