"""Encoders of sentences: models without a head, read through sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import json_of, same_bits, tensors_of

WORDS = "embeddings.word_embeddings.weight"


def test_an_encoder_given_its_own_tokenizer_does_not_change_a_bit(tiny: Tiny) -> None:
    base, out = tiny.model("bert"), tiny.fresh()
    report = tx.transplant(base, base, out, method="mean")
    before, after = tensors_of(base), tensors_of(out)
    assert before.keys() == after.keys()
    assert all(same_bits(before[name], after[name]) for name in before)
    assert report.rows.keys() == {"input"}
    assert not report.tied
    checks = {check.name: check.detail for check in report.checks}
    assert "no head that could write" in checks["folder: round-trip"]
    assert checks["folder: tying"] == f"No head: {WORDS} is the only matrix."


def test_an_encoders_rows_are_means_of_its_pieces(tiny: Tiny) -> None:
    base, donor, out = tiny.model("bert"), tiny.tokenizer("unigram"), tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    old, new = (tx.ByteVocabulary.from_file(path) for path in (base, donor))
    before, after = tensors_of(base)[WORDS], tensors_of(out)[WORDS]
    checked = 0
    for token in new.text_ids.tolist():
        pieces = old.pieces(new.tokens[token])
        if len(pieces) > 1:
            torch.testing.assert_close(after[token], before[pieces].mean(dim=0))
            checked += 1
    assert checked > 5
    assert AutoModel.from_pretrained(out).get_input_embeddings().weight.shape == after.shape


@pytest.mark.parametrize("stated", [True, False])
def test_what_an_encoder_says_of_tying_is_kept(tiny: Tiny, tmp_path: Path, stated: bool) -> None:
    """It has no head to tie; but another class made of its body may have."""
    base = tiny.copy(tiny.model("bert"))
    config = json_of(base, "config.json") | {"tie_word_embeddings": stated}
    (base / "config.json").write_text(json.dumps(config))
    tx.transplant(base, tiny.tokenizer("unigram"), tmp_path / "out", method="subword")
    assert json_of(tmp_path / "out", "config.json")["tie_word_embeddings"] is stated


def test_an_encoder_may_be_the_donor_of_rows(tiny: Tiny, tmp_path: Path) -> None:
    base, donor = tiny.model("llama", tied=False), tiny.model("bert")
    report = tx.transplant(base, donor, tmp_path / "out", method="omp")
    assert all(counts["omp"] > 10 for counts in report.rows.values())
