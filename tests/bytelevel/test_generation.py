"""Generated text: the laws it is drawn from, what ends it, and what is refused."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.asking import advance_far
from tokxfer.bytelevel.generation import TokenDrawer
from tokxfer.errors import TokxferError, UsageError


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))


@pytest.mark.parametrize("by", ["tokens", "bytes"])
def test_bytes_come_as_their_law_says(lm: ByteLM, by: str) -> None:
    prompt = "the quick bro"
    law = lm.next_byte(prompt)
    drawn = lm.generate([prompt] * 300, max_new_bytes=1, by=by, seed=1)
    stopped = sum(one.reason == "stop" for one in drawn) / 300
    assert stopped == pytest.approx(float(torch.tensor(law.stop).exp()), abs=0.08)
    first = torch.bincount(
        torch.tensor([one.data[0] for one in drawn if one.data]), minlength=256
    ) / len(drawn)
    assert float((first - law.nats.exp()).abs().sum()) / 2 < 0.4  # chance makes up to 0.3
    assert float((first - law.nats.exp()).abs().max()) < 0.08


@pytest.mark.parametrize("prompt", ["the quick bro", "the do", "It's "])
def test_the_first_byte_of_drawn_tokens_has_the_law_of_bytes(lm: ByteLM, prompt: str) -> None:
    law, count = lm.next_byte(prompt), 20_000
    tree, drawer, source = lm.tree(), TokenDrawer(lm), np.random.default_rng(3)
    data = lm.spell(prompt)
    (stream,) = lm.streams(tree, lm.context(None), 0.0)
    for _ in advance_far(tree, [stream], [data]):
        pass
    drawn = [drawer.begin(stream, data, source) for _ in range(count)]
    first = np.bincount([row.data[0] for row in drawn if row.data], minlength=256) / count
    assert np.abs(first - law.nats.exp().numpy()).max() < 0.015
    stopped = sum(row.reason == "stop" for row in drawn) / count
    assert stopped == pytest.approx(math.exp(law.stop), abs=0.015)


@torch.no_grad()
def test_drawn_tokens_are_canonical_and_priced_by_plain_forwards(lm: ByteLM) -> None:
    for seed in range(8):
        drawn = lm.generate("", max_new_bytes=40, seed=seed)
        assert drawn.by == "tokens"
        ids = torch.tensor([[lm.begin, *drawn.tokens]])
        answers = lm.model(input_ids=ids).logits[0, :, : lm.vocabulary.size].softmax(dim=-1)
        state, nats = lm.canonical.start, 0.0
        chosen = [*drawn.tokens, *([None] if drawn.reason == "stop" else [])]
        for token, shares in zip(chosen, answers, strict=False):
            whole = float(shares[torch.tensor(lm.canonical.allowed(state))].sum())
            stop = float(shares[lm.stops].sum()) if lm.canonical.ends(state) else 0.0
            part = stop if token is None else float(shares[token])
            nats += math.log(part / (whole + stop))
            if token is not None:
                state = lm.canonical.follow(state, token)
                assert state is not None
        assert drawn.nats == pytest.approx(nats, abs=1e-3)


@pytest.mark.parametrize("by", ["tokens", "bytes"])
def test_texts_side_by_side_may_be_longer_than_the_model(tiny: Tiny, by: str) -> None:
    lm = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer="bytebpe", seed=3, length=32))
    assert lm.length == 32
    prompts = ["the quick brown fox " * 8, "It's " * 30, "x"]
    together = lm.generate(prompts, max_new_bytes=60, by=by, seed=5)
    for prompt, found in zip(prompts, together, strict=True):
        assert len(found.data) == 60 or found.reason == "stop"
        if by == "bytes":
            cold = lm.generate(prompt, temperature=0, max_new_bytes=20).data
            assert lm.generate([prompt, "x"], temperature=0, max_new_bytes=20)[0].data == cold
    assert together[0].data == lm.generate(prompts[0], max_new_bytes=60, by=by, seed=5).data
    assert lm.generate([]) == []


def test_what_no_tokens_cover_is_refused_and_never_made_up(tiny: Tiny) -> None:
    """A tokenizer that composes characters does not write them apart."""
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer="qwen", seed=3))
    apart = "cafe\u0301 society".encode()
    for ask in (lm.next_byte, lm.heal, lm.generate, partial(lm.generate, temperature=0)):
        with pytest.raises(TokxferError, match="cannot have written this text"):
            ask(apart)


def test_a_temperature_of_zero_takes_the_likeliest_byte(lm: ByteLM) -> None:
    drawn = lm.generate("the do", temperature=0, max_new_bytes=8)
    assert drawn.by == "bytes"
    data = lm.spell("the do")
    for byte in drawn.data:
        law = lm.next_byte(data)
        assert int(law.nats.argmax()) == byte
        data += bytes([byte])


def test_filters_cut_what_is_drawn(lm: ByteLM) -> None:
    best = {byte for byte, _ in lm.next_byte("the do").top(2)}
    drawn = {one.data for one in lm.generate(["the do"] * 80, top_k=2, max_new_bytes=1, seed=2)}
    assert drawn <= best | {b""}  # a stop may be among the two
    assert len(drawn) == 2


def test_seeds_repeat_and_differ(lm: ByteLM) -> None:
    for options in ({}, {"top_p": 0.9}):
        first = lm.generate("the", max_new_bytes=20, seed=1, **options)
        again = lm.generate("the", max_new_bytes=20, seed=1, **options)
        other = lm.generate("the", max_new_bytes=20, seed=2, **options)
        assert first.data == again.data
        assert first.data != other.data


@pytest.mark.parametrize("by", ["tokens", "bytes"])
def test_stop_strings_end_a_text_and_are_left_out(lm: ByteLM, by: str) -> None:
    free = lm.generate("the", max_new_bytes=40, by=by, seed=3)
    stop = free.data[6:9]
    drawn = lm.generate("the", max_new_bytes=40, by=by, seed=3, stop=[stop, b"never there"])
    assert drawn.reason == "string"
    assert drawn.data == free.data[: free.data.index(stop)]
    assert drawn.prompt == lm.spell("the")


def test_texts_side_by_side_go_on_as_alone_when_nothing_is_left_to_chance(lm: ByteLM) -> None:
    prompts = ["the do", "It's ", "x"]
    alone = [lm.generate(p, temperature=0, max_new_bytes=12).data for p in prompts]
    together = lm.generate(prompts, temperature=0, max_new_bytes=12)
    assert [one.data for one in together] == alone


def test_a_stop_token_ends_a_text(lm: ByteLM) -> None:
    drawn = lm.generate(["the"] * 30, max_new_bytes=150, seed=1)
    ended = [one for one in drawn if one.reason == "stop"]
    assert ended
    assert all(len(one.data) < 150 for one in ended)
    assert all(len(one.data) == 150 for one in drawn if one.reason == "length")


def test_what_makes_no_sense_is_refused(lm: ByteLM) -> None:
    with pytest.raises(UsageError, match="stop string is empty"):
        lm.generate("a", stop=["end", ""])
    with pytest.raises(UsageError, match="cannot be drawn with them"):
        lm.generate("a", by="tokens", top_k=3)
    with pytest.raises(UsageError, match="is not drawn"):
        lm.generate("a", by="words")
    with pytest.raises(UsageError, match="At least one byte"):
        lm.generate("a", max_new_bytes=0)
    with pytest.raises(UsageError, match="prompt is empty"):
        lm.generate("", context=[])
    with pytest.raises(UsageError, match="seed must be 0 or more"):
        lm.generate("a", seed=-1)
    with pytest.raises(UsageError, match="half of a surrogate pair"):
        lm.generate("a\ud800")


def test_one_stop_string_may_stand_alone(lm: ByteLM) -> None:
    free = lm.generate("the", max_new_bytes=40, by="bytes", seed=3)
    stop = free.data[5:8].decode("latin-1").encode("latin-1")
    drawn = lm.generate("the", max_new_bytes=40, by="bytes", seed=3, stop=stop)
    assert drawn.data == free.data[: free.data.index(stop)]
