"""Generated text: the laws it is drawn from, what ends it, and what is refused."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.errors import UsageError


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


def test_tokens_behind_the_seam_are_the_models_own(lm: ByteLM) -> None:
    """The log-probability of what was drawn is that of its tokens, the cover's share in front."""
    drawn = lm.generate("the quick bro", max_new_bytes=30, seed=4)
    assert drawn.by == "tokens"
    spelled = b"".join(lm.vocabulary.tokens[token] for token in drawn.tokens)
    assert spelled.endswith(drawn.data[-5:]) or drawn.data in spelled
    assert len(drawn.data) == 30 or drawn.reason == "stop"


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
