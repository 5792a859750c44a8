"""`tokxfer bytes generate`, `heal` and `fill`: what they print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tokxfer as tx
from tests.tiny import Tiny
from tokxfer.bytelevel import FillTemplate
from tokxfer.cli.main import main

Run = Callable[..., tuple[int, str, str]]
CODE = Path(__file__).resolve().parents[2] / "models" / "code-bytebpe"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["bytes", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture
def folder(tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer="spbpe")


def test_a_text_goes_on_as_from_python(run: Run, folder: Path) -> None:
    options = ("--max-new-bytes", 12, "--seed", 3)
    code, out, err = run("generate", folder, "the do", *options)
    expected = tx.ByteLM.from_pretrained(folder).generate("the do", max_new_bytes=12, seed=3)
    assert code == 0
    assert out == expected.text + "\n"
    assert f"{len(expected.data)} bytes, drawn in tokens" in err
    code, out, _ = run("generate", folder, "the do", *options, "--json")
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert bytes.fromhex(document["hex"]) == expected.data
    assert bytes.fromhex(document["prompt"]) == b" the do"
    assert document["law"] == "canonical"


def test_filters_and_stop_strings_reach_what_is_drawn(run: Run, folder: Path) -> None:
    lm = tx.ByteLM.from_pretrained(folder)
    expected = lm.generate("the do", temperature=0, max_new_bytes=9)
    options = ("--temperature", 0, "--max-new-bytes", 9, "--json")
    found = json.loads(run("generate", folder, "the do", *options)[1])
    assert (found["by"], found["hex"]) == ("bytes", expected.data.hex())
    stop = expected.text[2:4]
    found = json.loads(run("generate", folder, "the do", *options, "--stop", stop)[1])
    assert found["reason"] == "string"
    assert found["text"] == expected.text[: expected.text.index(stop)]


def test_a_prompt_is_healed_as_from_python(run: Run, folder: Path) -> None:
    lm = tx.ByteLM.from_pretrained(folder)
    expected = lm.heal("the do")
    code, out, _ = run("heal", folder, "the do", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["ids"] == expected.ids
    assert bytes.fromhex(found["beyond"]) == expected.beyond
    sampled = json.loads(run("heal", folder, "the do", "--sample", "--seed", 5, "--json")[1])
    assert sampled["ids"] == lm.heal("the do", sample=True, seed=5).ids
    _, table, _ = run("heal", folder, "the do")
    assert len(table.splitlines()) == 1 + len(expected.ids)
    without = json.loads(run("heal", folder, "the do", "--no-bos", "--json")[1])
    assert lm.begin not in without["ids"]


def test_a_middle_is_filled_in(run: Run) -> None:
    options = ("--max-new-bytes", 6, "--temperature", 0)
    code, out, _ = run("fill", CODE, "for i in ra", "(10):", *options, "--json")
    expected = tx.ByteLM.from_pretrained(CODE).fill(
        "for i in ra", "(10):", max_new_bytes=6, temperature=0
    )
    found = json.loads(out)
    assert code == 0
    assert bytes.fromhex(found["hex"]) == expected.data
    assert found["whole"] == expected.whole
    code, out, err = run("fill", CODE, "for i in ra", "(10):", *options)
    assert out == expected.text + "\n"
    assert expected.whole == ("cut off" not in err)


def test_prefix_and_suffix_may_be_files_or_bytes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "above").write_text("for i in ra")
    options = ("--max-new-bytes", 6, "--temperature", 0, "--json", "--seam", "token")
    options += ("--no-bos", "--epsilon", 0.01)
    given = ("--prefix-file", tmp_path / "above", "--suffix-hex", b"(10):".hex())
    found = json.loads(run("fill", CODE, *given, *options)[1])
    lm = tx.ByteLM.from_pretrained(CODE)
    template = replace(FillTemplate.of(lm.vocabulary), seam=None)
    expected = lm.fill(
        "for i in ra", b"(10):", template=template, max_new_bytes=6, temperature=0,
        context=[], epsilon=0.01,
    )  # fmt: skip
    assert (found["hex"], found["whole"]) == (expected.data.hex(), expected.whole)
    assert found["nats"] == pytest.approx(expected.nats)
    plain = json.loads(run("fill", CODE, "(10):", *given[:2], *options)[1])
    assert plain == found
    code, _, err = run("fill", CODE, "a", "b", "--seam", "two")
    assert code == 2
    assert "neither a number of bytes nor 'token'" in err


def test_a_model_whose_markers_have_other_names_fills_in(run: Run, folder: Path) -> None:
    hint = run("fill", folder, "the do", "fox")[2]
    assert "--markers" in hint
    lm = tx.ByteLM.from_pretrained(folder)
    names = [lm.vocabulary.names[token] for token in (300, 301)]
    options = ("--max-new-bytes", 6, "--temperature", 0, "--order", "spm", "--json")
    code, out, _ = run("fill", folder, "the do", "fox", "--markers", *names, 302, *options)
    template = FillTemplate(300, 301, 302, order="spm")
    expected = lm.fill("the do", "fox", template=template, max_new_bytes=6, temperature=0)
    assert code == 0
    assert json.loads(out)["hex"] == expected.data.hex()
    code, _, err = run("fill", folder, "the do", "fox", "--markers", *names, "<NO>")
    assert code == 2
    assert "has no token '<NO>' to mark a part with" in err


def test_epsilon_reaches_what_is_healed(run: Run, folder: Path) -> None:
    found = json.loads(run("heal", folder, "the do", "--epsilon", 0.2, "--json")[1])
    expected = tx.ByteLM.from_pretrained(folder).heal("the do", epsilon=0.2)
    assert (found["ids"], found["nats"]) == (expected.ids, expected.nats)


def test_next_tells_the_horizon(run: Run, folder: Path) -> None:
    assert json.loads(run("next", folder, "the", "--json")[1])["horizon"] is None
    wide = ("--law", "all")
    assert json.loads(run("next", folder, "the", *wide, "--json")[1])["horizon"] == 4
    _, _, err = run("next", folder, "the", *wide, "--horizon", 2)
    assert "last 2 bytes" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("generate", "the", "--stop", ""), "stop string is empty"),
        (("generate", "the", "--by", "tokens", "--top-k", 3), "cannot be drawn with them"),
        (("generate", "--no-bos"), "prompt is empty"),
        (("heal",), "prompt is empty"),
        (("heal", "a", "--hex", "61"), "two texts"),
        (("fill", "a", "b"), "no tokens known to mark a prefix"),
        (("generate", "the", "--top-p", 0), "--top-p"),
        (("generate", "the", "--temperature", -1), "--temperature"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    run: Run, folder: Path, arguments: tuple[object, ...], sentence: str
) -> None:
    verb, *others = arguments
    code, out, err = run(verb, folder, *others)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (("a", "--suffix-hex", "zz"), "--suffix-hex 'zz' is not hexadecimal", "two digits"),
        (("a", "b", "--suffix-hex", "61"), "There are two of the suffix", "SUFFIX, --suffix-hex"),
        (("a", "b", "--prefix-file", "x"), "There are two of the prefix", "--prefix-file"),
    ],
)
def test_what_fill_refuses_is_named_as_its_own_options(
    run: Run, arguments: tuple[str, ...], told: str, hint: str
) -> None:
    code, out, err = run("fill", CODE, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert hint in err
