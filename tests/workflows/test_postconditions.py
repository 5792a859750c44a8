"""Every post-condition fails when its subject is damaged, and then nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import json_of
from tokxfer.checkpoints import validate_folder
from tokxfer.checkpoints.soundness import NAMES
from tokxfer.errors import VerificationError
from tokxfer.workflows import writing

Tensors = dict[str, torch.Tensor]
Damage = Callable[[Path], None]
BODY = "model.layers.0.mlp.fc1.weight"


def tensors(change: Callable[[Tensors], None]) -> Damage:
    """Damage the weights of a folder."""

    def damage(folder: Path) -> None:
        content = dict(load_file(folder / "model.safetensors"))
        change(content)
        save_file(content, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def settings(name: str, **changes: Any) -> Damage:
    """Damage a JSON file of a folder."""

    def damage(folder: Path) -> None:
        content = json_of(folder, name) | changes
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return damage


def flip(name: str, place: Any) -> Damage:
    """Change one number in its last bit."""

    def change(content: Tensors) -> None:
        content[name].view(torch.int32)[place] ^= 1

    return tensors(change)


def without(name: str) -> Damage:
    """Take one tensor out."""

    def change(content: Tensors) -> None:
        del content[name]

    return tensors(change)


def swap_two_tokens(folder: Path) -> None:
    content = json_of(folder, "tokenizer.json")
    vocab = content["model"]["vocab"]
    vocab["▁"], vocab["e"] = vocab["e"], vocab["▁"]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def decode_otherwise(folder: Path) -> None:
    content = json_of(folder, "tokenizer.json")
    content["decoder"] = {"type": "ByteFallback"}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


DAMAGES: list[tuple[str, str, Damage, str]] = [
    ("a body tensor changed", "write_model", flip(BODY, (0, 0)), "check 'body'"),
    (
        "a body tensor in another format",
        "write_model",
        tensors(lambda t: t.update({BODY: t[BODY].double()})),
        "check 'body'",
    ),
    (
        "a shared input row",
        "write_model",
        flip("model.embed_tokens.weight", (1, 0)),
        "rows of the input matrix differ",
    ),
    (
        "a shared output row",
        "write_model",
        flip("lm_head.weight", (2, 0)),
        "rows of the output matrix differ",
    ),
    ("the head's bias", "write_model", flip("lm_head.bias", 2), "rows of the bias matrix differ"),
    (
        "a new row not finite",
        "write_model",
        tensors(lambda t: t["model.embed_tokens.weight"][-1].fill_(torch.nan)),
        "rows not finite",
    ),
    (
        "a key more",
        "write_model",
        tensors(lambda t: t.update(extra=torch.ones(1))),
        "extra was added",
    ),
    ("a key less", "write_model", without(BODY), f"such as {BODY}"),
    (
        "another shape",
        "write_model",
        tensors(lambda t: t.update({BODY: t[BODY][:-1].clone()})),
        f"{BODY} of",
    ),
    ("a matrix less", "write_model", without("lm_head.weight"), "head"),
    (
        "rows less",
        "write_model",
        tensors(lambda t: t.update({"lm_head.weight": t["lm_head.weight"][:-1].clone()})),
        "lm_head.weight",
    ),
    ("weights cut short", "write_model", truncate, "not sound"),
    ("a wrong size in config", "write_model", settings("config.json", vocab_size=9), "not sound"),
    (
        "a wrong id in config",
        "write_model",
        settings("config.json", eos_token_id=7),
        "folder: special-ids",
    ),
    ("other ids", "write_tokenizer", swap_two_tokens, "check 'tokenizer'"),
    ("other text", "write_tokenizer", decode_otherwise, "decodes to other text"),
    (
        "no card",
        "write_manifest",
        lambda folder: (folder / "README.md").write_text("---\n[\n---\n") and None,
        "folder: model-card",
    ),
]


def damaging(monkeypatch: pytest.MonkeyPatch, step: str, damage: Damage) -> None:
    """Damage what a step of the writing wrote, once it is done."""
    real = getattr(writing, step)

    def damaged(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        folder = arguments[0] if step == "write_manifest" else arguments[1]
        damage(folder)
        return result

    monkeypatch.setattr(writing, step, damaged)


@pytest.fixture
def inputs(tiny: Tiny) -> tuple[Path, Path]:
    """A base with a head bias, and a bare donor whose specials come first."""
    return tiny.model("phi", tied=False, tokens=270), tiny.tokenizer("spbpe")


@pytest.mark.parametrize(
    ("step", "damage", "sentence"), [case[1:] for case in DAMAGES], ids=[c[0] for c in DAMAGES]
)
def test_a_damaged_result_is_found_and_removed(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    damage: Damage,
    sentence: str,
) -> None:
    damaging(monkeypatch, step, damage)
    with pytest.raises(VerificationError, match=sentence) as failure:
        tx.transplant(*inputs, tmp_path / "out", method="subword")
    assert "Nothing was written" in (failure.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_tie_that_broke_is_found(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untie(folder: Path) -> None:
        tensors(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))(
            folder
        )
        settings("config.json", tie_word_embeddings=False)(folder)

    damaging(monkeypatch, "write_model", untie)
    with pytest.raises(VerificationError, match="keys, shapes and ties"):
        tx.transplant(tiny.model(), tiny.tokenizer("spbpe"), tmp_path / "out", method="mean")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_check_leaves_the_folder_that_was_to_be_replaced(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept.txt").write_text("old")
    damaging(monkeypatch, "write_tokenizer", swap_two_tokens)
    with pytest.raises(VerificationError):
        tx.transplant(*inputs, out, method="mean", force=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "kept.txt"]


def test_a_good_result_names_every_check_that_held(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    report = tx.transplant(*inputs, tmp_path / "out", method="mean")
    own = ["keys, shapes and ties", "shared rows", "body", "tokenizer"]
    assert [check.name for check in report.checks] == [*own, *(f"folder: {n}" for n in NAMES)]
    assert all(check.ok for check in report.checks)
    assert all(check.ok for check in validate_folder(tmp_path / "out"))
