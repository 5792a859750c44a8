"""A context that the model has read already: the same laws, and nothing read twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from tests.bytelevel.test_treemodel import random_model
from tests.tiny import Tiny, build_model
from tokxfer.bytelevel import ByteLM, CachedContext
from tokxfer.errors import UsageError


def lm_of(tiny: Tiny, kind: str, length: int = 64) -> ByteLM:
    from tokxfer.vocabulary import read_vocabulary

    vocabulary = read_vocabulary(tiny.tokenizer("bytebpe"))
    model = build_model(kind, rows=vocabulary.size, length=length, seed=2)
    return ByteLM(model.double(), vocabulary, stops=[vocabulary.roles["eos"]])


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """How many tokens each forward of a model reads."""
    read: list[int] = []

    def note(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        read.append(named["input_ids"].numel())

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    yield read
    handle.remove()


@torch.no_grad()
def cached(lm: ByteLM, ids: list[int], known: int) -> CachedContext:
    cache = lm.model(input_ids=torch.tensor([ids[:known]]), use_cache=True).past_key_values
    return CachedContext(ids, cache)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("left", [0, 1, 5])
def test_the_law_is_that_behind_the_ids(tiny: Tiny, kind: str, left: int) -> None:
    lm = lm_of(tiny, kind)
    ids = [0, *lm.vocabulary.encode("Once upon a time there was a little girl")]
    context = cached(lm, ids, len(ids) - left)
    expected = lm.next_byte("who li", ids)
    for _ in range(2):  # the cache is not changed
        with counted(lm.model) as read:
            found = lm.next_byte("who li", context)
        assert torch.allclose(found.nats, expected.nats, atol=1e-9)
        assert sum(read) < max(left, 1) + len("who li") + 4 < len(ids)
    assert context.cache.get_seq_length() == len(ids) - left


def test_texts_longer_than_the_model_go_on_from_it(tiny: Tiny) -> None:
    lm = lm_of(tiny, "llama", length=24)
    ids = [0, *lm.vocabulary.encode("Once upon a time")]
    text = "the quick brown fox jumps over the lazy dog and on and on and on"
    expected = lm.score(text, ids)
    assert lm.tree().__class__.__name__ == "WindowedTree"
    assert torch.allclose(lm.score(text, cached(lm, ids, 4)).nats, expected.nats, atol=1e-9)


@pytest.mark.parametrize("kind", ["mamba", "gemma3", "mistral_window"])
def test_models_that_keep_no_whole_sequence_read_it_again(tiny: Tiny, kind: str) -> None:
    vocabulary = lm_of(tiny, "llama").vocabulary
    model = random_model(kind).double()
    model.resize_token_embeddings(vocabulary.size)
    lm = ByteLM(model, vocabulary, stops=[0])
    ids = [0, *vocabulary.encode("Once upon a time there was")]
    with torch.no_grad():
        kept = model(input_ids=torch.tensor([ids]), use_cache=True)
    cache = kept.get("past_key_values", kept.get("cache_params"))
    found = lm.next_byte("a li", CachedContext(ids, cache))
    assert torch.allclose(found.nats, lm.next_byte("a li", ids).nats, atol=1e-9)


def test_what_healing_gives_back_is_a_context(tiny: Tiny) -> None:
    lm = lm_of(tiny, "llama")
    healed = lm.heal("Once upon a ti")
    known = CachedContext(healed.ids, healed.cache)
    assert torch.allclose(lm.next_byte("e", known).nats, lm.next_byte("e", healed.ids).nats)
    generated = lm.generate("", known, max_new_bytes=12, seed=4)
    assert generated.data == lm.generate("", healed.ids, max_new_bytes=12, seed=4).data


def test_a_cache_of_something_else_is_refused(tiny: Tiny) -> None:
    lm = lm_of(tiny, "llama")
    ids = [0, *lm.vocabulary.encode("Once upon a time")]
    with pytest.raises(UsageError, match=f"The cache is of {len(ids)} tokens, the context of 3"):
        CachedContext(ids[:3], cached(lm, ids, len(ids)).cache)
    two = lm.model(input_ids=torch.tensor([ids, ids]), use_cache=True).past_key_values
    with pytest.raises(UsageError, match="The cache is of 2 sequences"):
        CachedContext(ids, two)


def test_a_context_longer_than_the_model_is_refused(tiny: Tiny) -> None:
    lm = lm_of(tiny, "llama", length=24)
    with pytest.raises(UsageError, match="The context has 25 tokens, but the model takes 24"):
        lm.next_byte("a", [0] * 25)
    law = lm.next_byte("a", [0] * 24)
    assert float(law.nats.exp().sum()) + math.exp(law.stop) == pytest.approx(1)
