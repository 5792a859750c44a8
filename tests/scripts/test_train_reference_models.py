"""Training reference models: one command, resumable, never on what another run left behind."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tokxfer
from tests.tiny import TEXT

ROOT = Path(__file__).resolve().parents[2]
TINY: dict[str, Any] = {
    "vocab_size": 300, "width": 16, "layers": 1, "heads": 2, "kv_heads": 2, "hidden": 32,
    "context": 16, "batch": 2, "tokens": 600,
}  # fmt: skip
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the script with small recipes: exit code, and what went to stderr."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = importlib.import_module("train_reference_models")
    small = {name: recipe.replace(**TINY) for name, recipe in script.recipes.RECIPES.items()}
    monkeypatch.setattr(script.recipes, "RECIPES", small)
    monkeypatch.setattr(script.train, "CHECKPOINT_EVERY", 5)

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["train_reference_models.py", *map(str, arguments)])
        try:
            script.main()
        except SystemExit as stopped:
            return int(stopped.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return call


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """Documents to train on, and one plain text held out."""
    lines = [json.dumps({"text": f"{text} {number}"}) for number in range(9) for text in TEXT]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "b.txt").write_text("The dog sat on the mat, again.", encoding="utf-8")
    return tmp_path / "a.jsonl", tmp_path / "b.txt"


@pytest.mark.parametrize("name", ["english-bytebpe", "english-spbpe", "code-bytebpe"])
def test_a_model_of_ones_own_text_is_sound_and_says_what_it_is(
    run: Run, texts: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    text, held_out = texts
    options = ("--text", text, "--held-out", held_out, "--out", tmp_path / "out")
    code, err = run(name, *options, "--work", tmp_path / "work")
    assert (code, "training" in err) == (0, True)
    folder = tmp_path / "out" / name
    assert tokxfer.validate(folder).ok
    manifest = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    assert manifest["steps"] == 600 // 32 - 1
    assert manifest["corpus_sha256"].keys() == {"a.jsonl"}
    assert manifest["held_out_sha256"].keys() == {"b.txt"}
    assert str(text) in manifest["command"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "own" in card
    assert "free licences" not in card


def test_a_run_goes_on_where_it_stopped_but_never_on_other_text(
    run: Run, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    text, held_out = texts
    options = ("--held-out", held_out, "--out", tmp_path / "out", "--work", tmp_path / "work")
    weights = tmp_path / "out" / "english-bytebpe" / "model.safetensors"
    assert run("english-bytebpe", "--text", text, *options)[0] == 0
    first = weights.read_bytes()
    code, err = run("english-bytebpe", "--text", text, *options)
    assert (code, "training" in err) == (0, False)
    (tmp_path / "work" / "english-bytebpe" / "final.pt").unlink()
    code, err = run("english-bytebpe", "--text", text, *options)
    assert (code, "training" in err) == (0, True)
    assert weights.read_bytes() == first
    other = tmp_path / "c.jsonl"
    other.write_text(text.read_text(encoding="utf-8").replace("on", "in"))
    code, err = run("english-bytebpe", "--text", other, *options)
    assert (code, "training" in err) == (0, True)
    assert weights.read_bytes() != first


def test_bad_input_is_said_before_any_work(
    run: Run, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    text, held_out = texts
    out = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    for arguments, said in (
        (("no-such-model",), "unknown model 'no-such-model'"),
        (("english-bytebpe", "--text", text), "say with --out where they go"),
        (("english-bytebpe", "--text", tmp_path / "no.txt", *out), "no.txt does not exist"),
        (("english-bytebpe", "--text", text, "--held-out", tmp_path / "no", *out), "no does not"),
        (("english-bytebpe", "--corpus", tmp_path, *out), "english.jsonl.xz does not exist"),
        (
            ("english-bytebpe", "--text", text, "--held-out", held_out, "--tokens", 40, *out),
            "less than two steps",
        ),
    ):
        code, err = run(*arguments)
        assert code == 2
        assert said in err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "work").exists()
