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


def test_a_sentence_encoder_keeps_its_pooling_and_its_length(tiny: Tiny, tmp_path: Path) -> None:
    sentences = pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    base = sentence_encoder(tiny)
    tx.transplant(base, base, tmp_path / "out", method="subword")
    before, after = (sentences.SentenceTransformer(str(p)) for p in (base, tmp_path / "out"))
    assert after[1].get_config_dict() == before[1].get_config_dict()
    assert after[1].get_config_dict()["pooling_mode"] == "max"
    assert after.max_seq_length == before.max_seq_length == 17
    assert after.prompts["query"] == "q: "
    texts = ["The quick brown fox", "a house near the forest " * 20]
    assert (after.encode(texts) == before.encode(texts)).all()


def test_weights_of_modules_are_carried_but_pickles_are_not(tiny: Tiny, tmp_path: Path) -> None:
    base = sentence_encoder(tiny)
    dense = base / "2_Dense"
    dense.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        (dense / name).write_text(name)
    modules = json_of(base, "modules.json")
    outside = [{"idx": 2, "path": "2_Dense"}, {"idx": 3, "path": "../elsewhere"}, {"path": "lost"}]
    (base / "modules.json").write_text(json.dumps([*modules, *outside]))
    (base.parent / "elsewhere").mkdir(exist_ok=True)
    (base.parent / "elsewhere" / "secret").write_text("x")
    tx.transplant(base, base, tmp_path / "out", method="subword")
    found = sorted(file.name for file in (tmp_path / "out" / "2_Dense").iterdir())
    assert found == ["config.json", "model.safetensors"]
    assert not any(tmp_path.rglob("secret"))


def sentence_encoder(tiny: Tiny) -> Path:
    """A tiny encoder with the files of sentence-transformers, written by hand."""
    folder = tiny.copy(tiny.model("bert"))
    kind = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}Pooling"},
    ]
    settings = {"max_seq_length": 17, "do_lower_case": False}
    pooling = {
        "word_embedding_dimension": 16,
        "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": True,
    }
    own = {"prompts": {"query": "q: "}, "default_prompt_name": None}
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", modules),
        ("sentence_bert_config.json", settings),
        ("config_sentence_transformers.json", own),
        ("1_Pooling/config.json", pooling),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
