"""`tokxfer bytes`: what it prints, what it reads, and what it says of input that makes no sense."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tokxfer as tx
from tests.tiny import TEXT, Tiny
from tokxfer.bytelevel import Beginning, core
from tokxfer.cli.bytes_options import spelled
from tokxfer.cli.main import main
from tokxfer.workflows.score_bytes import score_bytes

Run = Callable[..., tuple[int, str, str]]
IMPOSSIBLE = -1e30


@pytest.fixture(scope="module", autouse=True)
def rules_once() -> Iterator[None]:
    """A tokenizer's rule takes a second to find; here many commands read the same few."""
    found: dict[str, Any] = {}

    def rule_of(vocabulary: Any) -> Any:
        if vocabulary.source.name not in found:
            found[vocabulary.source.name] = core_rule(vocabulary)
        return found[vocabulary.source.name]

    core_rule = core.rule_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "rule_of", rule_of)
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what building the inputs printed
        with pytest.raises(SystemExit) as stop:
            main(["bytes", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture(params=["bytebpe", "spbpe"])
def folder(request: pytest.FixtureRequest, tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer=request.param)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": line[:60]}) + "\n" for line in TEXT[:3]))
    return path


def document(found: tuple[int, str, str]) -> dict[str, Any]:
    """The one JSON document on stdout."""
    code, out, _ = found
    assert code == 0
    assert out.count("\n") == 1
    told: dict[str, Any] = json.loads(out)
    assert told["schema_version"] == 1
    return told


def sentence(found: tuple[int, str, str], code: int) -> str:
    """The one sentence of a failure; there is nothing on stdout and no traceback."""
    status, out, err = found
    assert (status, out) == (code, "")
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    return errors[0].removeprefix("Error: ")


# ---- next


def test_next_is_the_law_of_the_model(run: Run, folder: Path) -> None:
    told = document(run("next", folder, "The do", "--json"))
    law = tx.ByteLM.from_pretrained(folder).next_byte("The do")
    assert told["nats"] == law.nats.tolist()
    assert (told["stop"], told["mass"]) == (law.stop, law.mass)
    assert (told["law"], told["missing"]) == ("canonical", IMPOSSIBLE)
    assert told["lower"] is None
    assert len(told["nats"]) == 256
    assert sum(map(math.exp, [*told["nats"], told["stop"]])) == pytest.approx(1)
    assert bytes.fromhex(told["prompt"]).strip() == b"The do"


def test_an_empty_prompt_is_the_beginning_of_a_text(run: Run, folder: Path) -> None:
    law = tx.ByteLM.from_pretrained(folder).next_byte()
    for nothing in ([], [""], ["--hex", ""]):
        assert document(run("next", folder, *nothing, "--json"))["nats"] == law.nats.tolist()


def test_text_is_put_as_the_tokenizer_puts_it_and_bytes_are_not(run: Run, tiny: Tiny) -> None:
    prefixing = tiny.model("llama", tokenizer="spbpe")
    text = document(run("next", prefixing, "dog", "--json"))
    digits = document(run("next", prefixing, "--hex", " 20 64 6F67", "--json"))
    assert digits == text
    assert text["prompt"] == "20646f67"


@pytest.mark.parametrize("verb", ["next", "score", "generate", "heal"])
def test_bytes_that_lack_the_space_are_refused(run: Run, tiny: Tiny, verb: str) -> None:
    found = run(verb, tiny.model("llama", tokenizer="spbpe"), "--hex", "64 6F67")
    assert "puts a space before every text" in sentence(found, 2)


def test_bytes_may_end_in_mid_character(run: Run, folder: Path) -> None:
    told = document(run("next", folder, "--hex", "20 c3", "--json"))
    assert sum(map(math.exp, told["nats"])) > 0.5


def test_a_file_is_read_as_text(run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompt.jsonl"
    path.write_bytes("{Größ\r\n".encode())
    told = document(run("next", folder, "--file", path, "--json"))
    assert bytes.fromhex(told["prompt"]).strip(b" ") == "{Größ\r\n".encode()
    assert told == document(run("next", folder, "{Größ\r\n", "--json"))


def test_the_law_may_be_that_of_all_sequences(run: Run, folder: Path) -> None:
    canonical, wide, narrow = (
        document(run("next", folder, "the dog", "--json", *more))
        for more in ([], ["--law", "all"], ["--law", "all", "--horizon", 0])
    )
    assert (canonical["law"], wide["law"]) == ("canonical", "all")
    assert wide["mass"] > canonical["mass"]
    assert wide["nats"] != narrow["nats"]


def test_what_epsilon_leaves_out_is_bounded(run: Run, tiny: Tiny) -> None:
    folder = tiny.model("llama")
    exact, rough = (
        document(run("next", folder, "the do", "--json", *more))
        for more in ([], ["--epsilon", 0.3])
    )
    assert rough["lower"] != rough["upper"]
    outcomes = [*exact["nats"], exact["stop"]]
    for low, value, high in zip(rough["lower"], outcomes, rough["upper"], strict=True):
        assert low - 1e-6 <= value <= high + 1e-6
    assert "lie within the bounds" in run("next", folder, "the do", "--epsilon", 0.3)[2]
    assert run("next", folder, "the do", "--epsilon", 0.3, "-q")[2] == ""


def test_no_bos_puts_nothing_before_the_prompt(run: Run, folder: Path) -> None:
    told = document(run("next", folder, "dog", "--no-bos", "--json"))
    law = tx.ByteLM.from_pretrained(folder).next_byte("dog", [])
    assert told["nats"] == law.nats.tolist()


@pytest.mark.parametrize("family", ["bytebpe", "unigram", "wordpiece"])
def test_one_byte_behind_nothing_is_scored(run: Run, tiny: Tiny, family: str) -> None:
    folder = tiny.model("llama", tokenizer=family)
    told = document(run("score", folder, "a", "--no-bos", "--json"))
    law = document(run("next", folder, "a", "--no-bos", "--json"))
    assert told["results"][0]["begin"] is None
    assert math.isfinite(told["score"]["total"])
    assert law["mass"] == told["score"]["mass"]


def test_the_table_has_the_likeliest_bytes_and_the_end(run: Run, folder: Path) -> None:
    code, out, err = run("next", folder, "The do", "--top", 3)
    assert (code, err) == (0, "")
    header, *rows, end = out.splitlines()
    assert header.split() == ["byte", "hex", "probability", "nats"]
    assert len(rows) == 3
    assert end.startswith("end of the text")
    best = tx.ByteLM.from_pretrained(folder).next_byte("The do").top(1)[0][0]
    assert rows[0].startswith(spelled(best[0]))


@pytest.mark.parametrize(
    ("value", "text"), [(97, "'a'"), (32, "' '"), (10, r"'\n'"), (0xC3, r"'\xc3'"), (39, '''"'"''')]
)
def test_bytes_are_spelled_for_people(value: int, text: str) -> None:
    assert spelled(value) == text


# ---- score

SCHEMA = {
    "model", "bits_per_byte", "perplexity", "tokens", "bytes", "stderr", "documents",
    "empty_documents", "lossy_documents", "lossy_bytes", "window", "begin", "seconds",
}  # fmt: skip


def test_a_score_has_the_form_of_an_evaluation(run: Run, folder: Path, documents: Path) -> None:
    code, out, err = run("score", folder, "--file", documents, "--json")
    told = document((code, out, err))
    evaluation = tx.evaluate(folder, text=documents).to_dict()
    assert told.keys() - {"score", "schema_version"} == evaluation.keys()
    (result,) = told["results"]
    own = {"law", "mass", "missing"}
    assert result.keys() == evaluation["results"][0].keys() | own == SCHEMA | own
    assert (result["law"], result["documents"]) == ("canonical", 3)
    for key in ("model", "bytes", "begin", "window"):
        assert result[key] == evaluation["results"][0][key]
    assert result["bits_per_byte"] <= evaluation["results"][0]["bits_per_byte"] + 1e-6
    assert result["stderr"] > 0
    assert told["settings"]["text"] == [str(documents)]
    assert "B" in err  # the progress bar


def test_the_figure_is_that_of_the_library(run: Run, folder: Path, documents: Path) -> None:
    lm = tx.ByteLM.from_pretrained(folder)
    texts = [line[:60] for line in TEXT[:3]]
    several = document(run("score", folder, "--file", documents, "--json"))["results"][0]
    assert several["bits_per_byte"] == pytest.approx(lm.bits_per_byte(texts), rel=1e-14)
    single = document(run("score", folder, texts[1], "--json"))["results"][0]
    assert single["bits_per_byte"] == pytest.approx(lm.bits_per_byte(texts[1]), rel=1e-14)


def test_a_single_text_is_scored_byte_by_byte(run: Run, folder: Path) -> None:
    told = document(run("score", folder, "the dog", "--json"))
    score = tx.ByteLM.from_pretrained(folder).score("the dog")
    assert told["score"]["nats"] == score.nats.tolist()
    assert told["score"]["hex"] == score.data.hex()
    assert told["score"]["total"] == score.total == pytest.approx(sum(told["score"]["nats"]))
    assert (told["results"][0]["bytes"], told["results"][0]["stderr"]) == (7, None)
    assert told["settings"]["text"] is None


def test_a_long_text_is_read_in_windows(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    short = tiny.model("llama", length=32)
    path = tmp_path / "long.txt"
    path.write_text(TEXT[0] * 2)
    result = document(run("score", short, "--file", path, "--json"))["results"][0]
    lm = tx.ByteLM.from_pretrained(short)
    assert result["window"] == 32
    assert len(lm.vocabulary.encode(TEXT[0] * 2)) > 32
    assert result["bits_per_byte"] == pytest.approx(lm.bits_per_byte(TEXT[0] * 2), rel=1e-14)


def test_bytes_are_scored_as_they_are(run: Run, folder: Path) -> None:
    told = document(run("score", folder, "--hex", "20 c3 28 ff", "--json"))
    assert told["score"]["hex"] == "20c328ff"
    assert told["results"][0]["bytes"] == 4


def test_the_table_ends_with_the_nats_of_a_single_text(
    run: Run, folder: Path, documents: Path
) -> None:
    code, out, err = run("score", folder, "the dog", "-v")
    header, row = out.splitlines()
    assert code == 0
    assert header.split() == ["model", "law", "bits/byte", "±", "bytes", "nats"]
    assert row.split()[0] == str(folder)
    assert "'g'   67" in err  # byte by byte
    assert "1 documents" in err
    code, out, err = run("score", folder, "--file", documents, "-q")
    assert (code, err) == (0, "")
    assert "nats" not in out


def test_files_may_be_compressed_and_limited(run: Run, folder: Path, documents: Path) -> None:
    packed = documents.with_suffix(".jsonl.xz")
    packed.write_bytes(lzma.compress(documents.read_bytes()))
    result = document(run("score", folder, "--file", packed, "--limit", 2, "--json"))["results"][0]
    lm = tx.ByteLM.from_pretrained(folder)
    assert result["documents"] == 2
    expected = lm.bits_per_byte([line[:60] for line in TEXT[:2]])
    assert result["bits_per_byte"] == pytest.approx(expected, rel=1e-14)


def test_empty_documents_are_counted_and_left_out(run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ["", "a", "", "b"]))
    code, out, err = run("score", folder, "--file", path, "--json")
    result = document((code, out, err))["results"][0]
    assert (result["documents"], result["empty_documents"]) == (2, 2)
    assert "2 empty documents were left out" in err


def test_law_and_begin_reach_the_score(run: Run, folder: Path) -> None:
    options = ["--law", "all", "--horizon", 2, "--epsilon", "0.001", "--no-bos"]
    code, out, err = run("score", folder, "the dog", *options, "--json")
    told = document((code, out, err))
    assert (told["results"][0]["law"], told["results"][0]["begin"]) == ("all", None)
    settings = told["settings"]
    assert [settings[key] for key in ("law", "horizon", "epsilon")] == ["all", 2, 0.001]
    lm = tx.ByteLM.from_pretrained(folder, law="all", horizon=2)
    assert told["score"]["total"] == lm.score("the dog", Beginning(), epsilon=0.001).total
    assert "nothing before a text" in err


def test_loading_options_reach_the_folder(
    run: Run, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints import ModelFolder

    seen: list[dict[str, Any]] = []
    original = ModelFolder.open

    def opened(name: str, **options: Any) -> ModelFolder:
        seen.append(options)
        return original(tiny.model("llama"))

    monkeypatch.setattr(ModelFolder, "open", opened)
    more = ["--revision", "abc", "--trust-remote-code", "--offline", "--dtype", "bfloat16"]
    told = document(run("score", "org/name", "dog", *more, "--device", "cpu", "--json"))
    assert run("next", "org/name", "dog", *more)[0] == 0
    assert seen == [{"revision": "abc", "trust_remote_code": True, "offline": True}] * 2
    settings = told["settings"]
    assert [settings[key] for key in ("dtype", "device", "revision")] == ["bfloat16", "cpu", "abc"]


# ---- input that makes no sense


@pytest.mark.parametrize("verb", ["next", "score"])
@pytest.mark.parametrize("digits", ["c", "zz", "c3 a"])
def test_bad_digits_are_named(run: Run, tiny: Tiny, verb: str, digits: str) -> None:
    found = run(verb, tiny.model("llama"), "--hex", digits)
    assert sentence(found, 2) == f"--hex {digits!r} is not hexadecimal."


@pytest.mark.parametrize("verb", ["next", "score"])
@pytest.mark.parametrize(
    "sources", [["a", "--hex", "61"], ["a", "--file", "b"], ["--hex", "61", "--file", "b"]]
)
def test_two_texts_are_refused(run: Run, tiny: Tiny, verb: str, sources: list[str]) -> None:
    assert sentence(run(verb, tiny.model("llama"), *sources), 2) == "There are two texts."


@pytest.mark.parametrize("verb", ["next", "score"])
def test_text_that_is_not_utf8_is_named(run: Run, tiny: Tiny, tmp_path: Path, verb: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"a\ncaf\xe9")
    found = run(verb, tiny.model("llama"), "--file", path)
    assert sentence(found, 1) == f"{path}, line 2, is not UTF-8."
    assert sentence(run(verb, tiny.model("llama"), "caf\udce9"), 2) == "TEXT is not UTF-8."


@pytest.mark.parametrize("verb", ["next", "score"])
def test_missing_files_and_models_are_named(run: Run, tiny: Tiny, verb: str) -> None:
    found = run(verb, tiny.model("llama"), "--file", "nothing.txt")
    assert sentence(found, 1) == "nothing.txt does not exist."
    assert sentence(run(verb, "no/such/model", "a"), 1).startswith("no/such/model does not")


def test_nothing_at_all_before_a_byte_is_refused(run: Run, tiny: Tiny) -> None:
    found = run("next", tiny.model("llama"), "--no-bos")
    assert sentence(found, 2) == "The prompt is empty, and --no-bos puts nothing before it."


def test_nothing_to_score_is_refused(run: Run, tiny: Tiny) -> None:
    assert sentence(run("score", tiny.model("llama")), 2) == "There is no text to score."
    assert sentence(run("score", tiny.model("llama"), ""), 2) == "There is no text to score."


@pytest.mark.parametrize("verb", ["next", "score"])
def test_models_that_cannot_be_asked_are_named(run: Run, tiny: Tiny, verb: str) -> None:
    assert "is an encoder" in sentence(run(verb, tiny.model("bert"), "a"), 1)
    folder = tiny.copy(tiny.model("llama", tokenizer="unigram"))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["unk_id"] = None
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "no rule is known" in sentence(run(verb, folder, "a"), 1)


@pytest.mark.parametrize("verb", ["next", "score"])
@pytest.mark.parametrize("law", ["canonical", "all"])
def test_what_no_token_spells_is_named(run: Run, tiny: Tiny, verb: str, law: str) -> None:
    folder = tiny.copy(tiny.model("llama", tokenizer="spbpe"))
    path = folder / "tokenizer.json"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace("<0x01>", "nothing"), encoding="utf-8")
    told = sentence(run(verb, folder, "--hex", "20 61 01 61", "--law", law, "-q"), 1)
    if verb == "next":
        assert told.startswith("The model cannot have written this text")
    else:
        assert told.startswith(f"{folder} gives ")
        assert told.endswith("probability zero.")


@pytest.mark.parametrize("verb", ["next", "score"])
@pytest.mark.parametrize(
    "option",
    [["--law", "none"], ["--epsilon", "-0.1"], ["--epsilon", "1"], ["--epsilon", "nan"],
     ["--horizon", "-1"], ["--device", "abacus"], ["--dtype", "int3"]],
    ids=" ".join,
)  # fmt: skip
def test_options_out_of_range_exit_with_2(
    run: Run, tiny: Tiny, verb: str, option: list[str]
) -> None:
    sentence(run(verb, tiny.model("llama"), "a", *option), 2)


def test_a_group_without_a_known_verb_exits_with_2(run: Run) -> None:
    assert sentence(run("guess"), 2).startswith("No such command 'guess'")
    code, out, err = run()
    assert code == 2
    assert "Usage: tokxfer bytes" in out + err


def test_the_verb_takes_one_text_and_a_share(tiny: Tiny) -> None:
    for arguments in ({}, {"text": "a", "file": "b"}):
        with pytest.raises(tx.TokxferError, match="one text, or one file"):
            score_bytes(tiny.model("llama"), **arguments)
    with pytest.raises(tx.TokxferError, match="Epsilon must be 0 or more"):
        score_bytes(tiny.model("llama"), "a", epsilon=1.0)
