"""Bits per byte in windows: those of `evaluate`, whoever asks."""

from __future__ import annotations

import math

import pytest

import tokxfer as tx
from tests.tiny import TEXT, Tiny
from tokxfer.bytelevel import CachedContext
from tokxfer.checkpoints import load_tokenizer
from tokxfer.errors import UsageError
from tokxfer.workflows.score_bytes import score_bytes, score_bytes_model

DOCUMENTS = [TEXT[0], "", TEXT[4] + TEXT[5], "dog"]


@pytest.mark.parametrize("window", [2, 3, 8, 31, 128])
def test_windows_are_those_of_evaluate(tiny: Tiny, window: int) -> None:
    """Without merges every text has one tokenization, so that bytes and tokens cost the same."""
    folder = tiny.model("llama", tokenizer="bytebpe", tokens=257, seed=3)
    lm = tx.ByteLM.from_pretrained(folder, law="all")
    assert all(len(token) == 1 for token in lm.vocabulary.tokens if token != b"<|endoftext|>")
    tokenizer = load_tokenizer(folder)
    expected = tx.evaluate_model(lm.model, tokenizer, DOCUMENTS, window=window)
    found = score_bytes_model(lm, DOCUMENTS, window=window)
    assert found.nats == pytest.approx(expected.nats, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(lm.bits_per_byte(DOCUMENTS, window=window))
    assert (found.window, found.begin) == (expected.window, expected.begin) == (window, 256)
    other = score_bytes_model(lm, DOCUMENTS, window=5)
    assert abs(other.bits_per_byte - found.bits_per_byte) > 1e-3


@pytest.mark.parametrize("family", ["bytebpe", "spbpe", "unigram"])
def test_a_window_of_the_models_length_is_none(tiny: Tiny, family: str) -> None:
    lm = tx.ByteLM.from_pretrained(tiny.model("llama", tokenizer=family, length=24, seed=3))
    text = TEXT[2] + TEXT[0]
    assert lm.score(text, window=24).nats.tolist() == lm.score(text).nats.tolist()
    short = lm.score(text, window=8)
    assert short.total != lm.score(text).total
    assert -short.total / math.log(2) / len(text.encode()) == pytest.approx(
        lm.bits_per_byte(text, window=8)
    )


def test_texts_are_read_in_windows_together_as_alone(tiny: Tiny) -> None:
    lm = tx.ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3))
    texts = [TEXT[0], "a", TEXT[3]]
    for text, score in zip(texts, lm.score(texts, window=6), strict=True):
        assert score.total == pytest.approx(lm.score(text, window=6).total, abs=1e-3)


def test_the_window_reaches_the_report(tiny: Tiny) -> None:
    report = score_bytes(tiny.model("llama"), "the dog sleeps", window=4).to_dict()
    assert report["results"][0]["window"] == report["settings"]["window"] == 4
    free = score_bytes(tiny.model("llama"), "the dog sleeps").to_dict()
    assert (free["results"][0]["window"], free["settings"]["window"]) == (128, None)


def test_windows_that_make_no_sense_are_refused(tiny: Tiny) -> None:
    folder = tiny.model("llama")
    lm = tx.ByteLM.from_pretrained(folder)
    with pytest.raises(UsageError, match="A window must hold 2 tokens or more, not 1"):
        score_bytes("no such folder", "dog", window=1)
    with pytest.raises(UsageError, match="A window must hold 2 tokens or more, not 0"):
        lm.bits_per_byte("dog", window=0)
    with pytest.raises(UsageError) as refused:
        score_bytes_model(lm, ["dog"], window=129, name="it")
    with pytest.raises(UsageError) as expected:
        tx.evaluate_model(lm.model, load_tokenizer(folder), ["dog"], window=129, name="it")
    assert str(refused.value).splitlines()[0] == str(expected.value).splitlines()[0]
    with pytest.raises(UsageError, match="The context has 5 tokens, but a window holds 4"):
        lm.score("dog", [1, 2, 3, 4, 5], window=4)
    with pytest.raises(UsageError, match="longer than"):
        lm.score("dog " * 9, window=8, differentiable=True)


def test_a_context_that_was_read_already_is_read_in_windows(tiny: Tiny) -> None:
    lm = tx.ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3))
    healed = lm.heal("The quick brown")
    context = CachedContext(healed.ids, healed.cache)
    window, text = len(healed.ids) + 3, b" fox jumps over the lazy dog" * 2
    score = lm.score(text, context, window=window)
    assert score.total == pytest.approx(lm.score(text, healed.ids, window=window).total, abs=1e-3)


def test_a_model_without_an_end_is_read_in_windows_if_asked(tiny: Tiny) -> None:
    lm = tx.ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3))
    free = tx.ByteLM(None, lm.vocabulary, stops=lm.stops, trees=lambda: lm.tree(windowed=False))
    free.begin = lm.begin
    for window in (None, 6):
        found = free.score(TEXT[0][:60], window=window)
        assert found.total == pytest.approx(lm.score(TEXT[0][:60], window=window).total, abs=1e-3)
