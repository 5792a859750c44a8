"""A tokenizer alone is enough of a donor for every method that needs none of its weights."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import TEXT, Tiny
from tests.workflows.letters import letter_encoder
from tokxfer import transplant
from tokxfer.embeddings import REGISTRY, Method
from tokxfer.errors import UnsupportedError
from tokxfer.workflows import corpus as corpora
from tokxfer.workflows import fitting

METHODS: dict[str, Any] = dict(REGISTRY)
NEEDED = {"encoder": "sentence_transformers", "text": "gensim"}  # packages of extras
WITHOUT = [name for name, method in METHODS.items() if "donor weights" not in method.needs]
WITH = [name for name in METHODS if name not in WITHOUT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return letter_encoder(tmp_path_factory.mktemp("encoders") / "letters")


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fitting, "BUCKETS", 500)
    monkeypatch.setattr(corpora, "BUCKETS", 500)


@pytest.fixture
def helpers(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """What a method may need beside a tokenizer."""
    file = tmp_path / "text.jsonl"
    file.write_text("".join(json.dumps({"text": line}) + "\n" for line in TEXT), encoding="utf-8")
    return {"encoder": folder, "text": file}


def given(method: Method, helpers: dict[str, Any]) -> dict[str, Any]:
    """The options of a transplant by a method, without any package that is not here."""
    for need in method.needs & NEEDED.keys():
        pytest.importorskip(NEEDED[need])
    encoder = {"encoder": helpers["encoder"]} if "encoder" in method.needs else {}
    text = {"train_text": helpers["text"], "min_count": 2} if "text" in method.needs else {}
    return encoder | text


@pytest.mark.parametrize("name", WITHOUT)
def test_a_bare_tokenizer_is_enough_for_every_method_without_donor_weights(
    tiny: Tiny, name: str, helpers: dict[str, Any]
) -> None:
    base, out = tiny.model("llama", tied=False), tiny.fresh()
    donor = tiny.tokenizer("spbpe", bare=True) / "tokenizer.json"
    report = transplant(base, donor, out, method=name, **given(METHODS[name](), helpers))
    for matrix in ("input", "output"):
        counts = report.rows[matrix]
        assert sum(counts.values()) == report.donor_size
        assert 0 < counts["copied"] < report.donor_size
    assert all(tensor.isfinite().all() for tensor in load_file(out / "model.safetensors").values())
    model, ids = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    with torch.no_grad():
        assert model(**ids("The cat sat.", return_tensors="pt")).logits.isfinite().all()


@pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in NEEDED.values()),
    reason="needs the extras 'encoder' and 'vectors'",
)
def test_auto_chooses_among_all_that_a_bare_tokenizer_allows(
    tiny: Tiny, helpers: dict[str, Any]
) -> None:
    donor = tiny.tokenizer("spbpe", bare=True) / "tokenizer.json"
    report = transplant(
        tiny.model("llama"), donor, tiny.fresh(), method="auto",
        encoder=helpers["encoder"], train_text=helpers["text"],
    )  # fmt: skip
    tried = {label.split()[0] for label in report.chosen["tied"]["cosines"]}
    assert {"subword-uniform", "tokenadapt-hybrid"} <= tried
    assert not tried & set(WITH)


@pytest.mark.parametrize("name", WITH)
def test_a_method_that_needs_donor_weights_says_so_of_a_bare_tokenizer(
    tiny: Tiny, name: str
) -> None:
    donor, out = tiny.tokenizer("spbpe", bare=True) / "tokenizer.json", tiny.fresh()
    with pytest.raises(UnsupportedError, match="needs the donor's weights"):
        transplant(tiny.model("llama"), donor, out, method=name)
    assert not out.exists()
