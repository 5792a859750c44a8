"""Healed prompts: covers by their weight, from enumeration, and caches that go on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.bytelevel.enumeration import canonical, covers
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.healing import pick_cover
from tokxfer.errors import UsageError


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    found = ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))
    found.model.double()
    return found


@torch.no_grad()
def weights(lm: ByteLM, data: bytes) -> dict[tuple[int, ...], float]:
    """The probability of every canonical cover, and of those that are no whole text."""
    begin, found = lm.vocabulary.roles["bos"], {}
    for row in covers(lm.vocabulary, data):
        if canonical(lm.vocabulary, row) is not False:
            logits = lm.model(input_ids=torch.tensor([[begin, *row]])).logits[0, :-1]
            nats = logits[:, : lm.vocabulary.size].log_softmax(dim=-1)
            found[tuple(row)] = float(nats[torch.arange(len(row)), row].sum().exp())
    return found


@pytest.mark.parametrize("text", ["the do", "fo", "x  ", "th"])
def test_the_heaviest_cover_is_taken(lm: ByteLM, text: str) -> None:
    data = lm.spell(text)
    expected = weights(lm, data)
    healed = lm.heal(text)
    row = tuple(healed.ids[1:])
    assert healed.ids[0] == lm.begin
    assert expected[row] == pytest.approx(max(expected.values()), rel=1e-9)
    assert b"".join(lm.vocabulary.tokens[token] for token in row) == data + healed.beyond
    known = sum(p for r, p in expected.items() if canonical(lm.vocabulary, list(r)))
    assert math.exp(healed.nats) <= expected[row] / known + 1e-9


def test_covers_are_drawn_by_their_weight(lm: ByteLM) -> None:
    data = lm.spell("the fo")
    expected = weights(lm, data)
    drawn = [tuple(lm.heal("the fo", sample=True, seed=seed).ids[1:]) for seed in range(120)]
    assert set(drawn) <= set(expected)
    whole = sum(expected.values())
    likely = [row for row, p in expected.items() if p / whole > 0.05]
    for row in likely:
        assert drawn.count(row) / 120 == pytest.approx(expected[row] / whole, abs=0.2)
    assert lm.heal("the fo", sample=True, seed=7).ids == lm.heal("the fo", sample=True, seed=7).ids


@pytest.mark.parametrize("text", ["the quick bro", "It's  ", "\n    ret"])
def test_generate_goes_on_from_the_cache(lm: ByteLM, text: str) -> None:
    healed = lm.heal(text)
    told = {"max_new_tokens": 6, "do_sample": False}
    ids = torch.tensor([healed.ids])
    model: Any = lm.model
    with_cache = model.generate(ids, past_key_values=healed.cache, **told)
    assert with_cache.tolist() == model.generate(ids, **told).tolist()
    assert with_cache[0, : len(healed.ids)].tolist() == healed.ids


def test_spaces_indentation_and_special_tokens_stay(lm: ByteLM) -> None:
    chat = [lm.vocabulary.roles["bos"], 7, lm.vocabulary.roles["eos"]]
    for text in ("the dog ", "    retu", "a\t"):
        healed = lm.heal(text, chat)
        assert healed.ids[:3] == chat
        spelled = b"".join(lm.vocabulary.tokens[token] for token in healed.ids[3:])
        assert spelled == lm.spell(text) + healed.beyond


def test_a_seam_may_lie_several_tokens_back(lm: ByteLM) -> None:
    """A token that spells what the encoding of the prompt needs several for is found."""
    allowed = lm.canonical.allowed(lm.canonical.start)
    word = max(np.flatnonzero(allowed).tolist(), key=lambda token: len(lm.vocabulary.tokens[token]))
    longest = lm.vocabulary.tokens[word]
    state = lm.start()
    entry = next(live for live in state.stream.frontier.live)
    shares, _ = state.stream.answers(entry.node)
    shares[:] = 0
    shares[lm.tokens.places[word]] = 1.0
    state.push(longest[:-1])
    assert pick_cover(state.stream, None).tokens == [word]
    assert np.isclose(pick_cover(state.stream, None).nats, 0.0)


@pytest.mark.parametrize("text", ["the do", "x  ", "It's the quick bro"])
def test_covers_that_epsilon_left_out_are_taken_in_at_the_end(lm: ByteLM, text: str) -> None:
    whole, rest = lm.heal(text), lm.heal(text, epsilon=0.5)
    assert rest.ids == whole.ids
    assert rest.beyond == whole.beyond
    assert rest.nats == pytest.approx(whole.nats, abs=1e-9)
    for seed in range(12):
        drawn = [lm.heal(text, sample=True, seed=seed, epsilon=e) for e in (0.0, 0.5)]
        assert drawn[0].ids == drawn[1].ids
        assert drawn[0].nats == pytest.approx(drawn[1].nats, abs=1e-9)


def test_what_cannot_be_healed_is_refused(lm: ByteLM) -> None:
    with pytest.raises(UsageError, match="nothing to heal"):
        lm.heal("")


def test_a_prompt_of_more_bytes_than_the_model_has_tokens_keeps_its_cache(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer="bytebpe", seed=3, length=32))
    healed = lm.heal("The quick brown fox jumps over the lazy do")
    assert lm.length == 32 > len(healed.ids)
    assert healed.cache.get_seq_length() == len(healed.ids) - 1
    ids = torch.tensor([healed.ids])
    told = {"max_new_tokens": 4, "do_sample": False}
    model: Any = lm.model
    found = model.generate(ids, past_key_values=healed.cache, **told)
    assert found.tolist() == model.generate(ids, **told).tolist()
    assert lm.heal("The quick brown fox jumps over the lazy dog. " * 9).cache is None


def test_a_model_without_a_begin_token_heals(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer="wordpiece", seed=3))
    lm.begin = None
    healed = lm.heal("the quick bro")
    spelled = b"".join(lm.canonical.tokens[token] for token in healed.ids)
    assert spelled == lm.spell("the quick bro") + healed.beyond
    ids = torch.tensor([healed.ids])
    model: Any = lm.model
    told = {"max_new_tokens": 4, "do_sample": False}
    found = model.generate(ids, past_key_values=healed.cache, **told)
    assert found.tolist() == model.generate(ids, **told).tolist()
