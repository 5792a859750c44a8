"""`ByteLM` on models: the chain rule, cuts anywhere, and enumeration with the model itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from tests.bytelevel.enumeration import canonical, covers, prefixed
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.treemodel import RowTree
from tokxfer.errors import UnsupportedError, UsageError
from tokxfer.vocabulary import ByteVocabulary

TEXT = "It's a  dog,\n\nisn't it?"


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))


def test_a_score_is_the_chain_of_next_bytes(lm: ByteLM) -> None:
    data = lm.spell(TEXT)
    scores = lm.score(TEXT).nats
    assert scores.shape == (len(data),)
    for place in range(len(data)):
        alone = lm.next_byte(data[:place])
        assert float(scores[place]) == pytest.approx(float(alone.nats[data[place]]), abs=1e-5)
        assert float(alone.nats.exp().sum()) + torch.tensor(alone.stop).exp() == pytest.approx(1)


def test_any_tree_that_answers_is_a_model(lm: ByteLM) -> None:
    rows = ByteLM(
        None, lm.vocabulary, stops=lm.stops, trees=lambda: RowTree(lm.model, lm.vocabulary.size)
    )
    assert rows.context(None) == lm.context(None)
    torch.testing.assert_close(rows.score(TEXT).nats, lm.score(TEXT).nats, rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.next_byte("a").nats, lm.next_byte("a").nats, atol=1e-5, rtol=0)


def test_the_likeliest_bytes_come_first(lm: ByteLM) -> None:
    law = lm.next_byte("The do")
    top = law.top(4)
    assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
    assert top[0][1] == pytest.approx(float(law.nats.max().exp()))
    assert law.nats[top[0][0][0]] == law.nats.max()


def test_canonical_mass_is_that_of_the_models_own_sequences(lm: ByteLM) -> None:
    for text in ("a", "the", "x  "):
        equals_enumeration(lm, text, tolerance=1e-6)


def test_canonical_mass_of_a_real_model(shared: Path) -> None:
    single = ByteLM.from_pretrained(shared / "models" / "stories260K")
    for text in ("Onc", "Lily'", "a  b", "x\n\n"):
        equals_enumeration(single, text, tolerance=1e-5)
    double = ByteLM(single.model.double(), single.vocabulary, stops=single.stops)
    for text in ("Onc", "Lily'", "a  b", "x\n\n"):
        equals_enumeration(double, text, tolerance=1e-12)


@torch.no_grad()
def equals_enumeration(lm: ByteLM, text: str, tolerance: float) -> None:
    """Canonical mass lies between what is surely canonical and what may be."""
    begin, size = lm.vocabulary.roles["bos"], lm.vocabulary.size

    def probability(row: list[int]) -> float:
        logits = lm.model(input_ids=torch.tensor([[begin, *row]])).logits[0, :-1, :size]
        nats = logits.double().log_softmax(dim=-1)
        return float(nats[torch.arange(len(row)), row].sum().exp())

    data = lm.spell(text)
    judged = [(row, canonical(lm.vocabulary, row)) for row in covers(lm.vocabulary, data)]
    surely = sum(probability(row) for row, told in judged if told)
    maybe = sum(probability(row) for row, told in judged if told is None)
    found = math.exp(lm.score(data).mass)
    assert surely > 0
    assert surely - tolerance <= found <= surely + maybe + tolerance


def test_scores_have_gradients(lm: ByteLM) -> None:
    lm.score("the dog", differentiable=True).nats.sum().backward()
    head: Any = lm.model.get_output_embeddings().weight
    assert torch.isfinite(head.grad).all()
    assert head.grad.abs().sum() > 0
    lm.model.zero_grad()


def test_text_gets_the_space_that_encoding_puts_there(lm: ByteLM) -> None:
    assert lm.spell("dog") == (b" dog" if prefixed(lm.vocabulary) else b"dog")
    assert lm.spell(b"dog") == b"dog"


def test_what_has_no_rule_is_refused(tiny: Tiny) -> None:
    folder = tiny.model("llama", tokenizer="unigram")
    lm = ByteLM.from_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["unk_id"] = None
    refused = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    with pytest.raises(UnsupportedError, match="no rule is known"):
        ByteLM(lm.model, refused, stops=[])


def test_a_context_may_be_ids_and_must_not_be_empty(lm: ByteLM) -> None:
    told = lm.next_byte("dog", context=[lm.vocabulary.roles["bos"]])
    torch.testing.assert_close(told.nats, lm.next_byte("dog").nats)
    other = lm.next_byte("dog", context=[5, 9])
    assert not torch.allclose(told.nats, other.nats)
    with pytest.raises(UsageError, match="prompt is empty"):
        lm.next_byte("", context=[])
