"""Scores of given texts: together as alone, with gradients as without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.asking import together
from tokxfer.errors import UsageError

TEXTS = ["It's a  dog,\n\nisn't it?", "", "a", "The quick brown fox. " * 9, "a", "naïve 漢字"]


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    found = ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))
    found.model.double()
    return found


def same(found: Any, expected: Any, near: float = 1e-10) -> None:
    assert found.data == expected.data
    torch.testing.assert_close(found.nats, expected.nats, rtol=0, atol=near)
    torch.testing.assert_close(found.laws, expected.laws, rtol=0, atol=near)
    assert found.mass == pytest.approx(expected.mass, abs=near)
    assert found.stop == pytest.approx(expected.stop, abs=near)
    assert found.asked == expected.asked


def test_texts_are_scored_together_as_alone(lm: ByteLM) -> None:
    found = lm.score(TEXTS, laws=True)
    assert len(found) == len(TEXTS)
    for text, score in zip(TEXTS, found, strict=True):
        same(score, lm.score(text, laws=True))
        data = lm.spell(text)
        assert score.laws is not None
        assert score.laws.shape == (len(data) + 1, 257)
        torch.testing.assert_close(
            score.nats, score.laws[torch.arange(len(data)), torch.tensor(list(data)).long()]
        )
        assert score.stop == float(score.laws[-1, 256])
    assert lm.score([]) == []


def test_an_empty_text_has_only_an_end(lm: ByteLM) -> None:
    score = lm.score("")
    assert score.nats.shape == (0,)
    assert (score.total, score.mass, score.asked) == (0.0, 0.0, 1)
    assert score.stop == pytest.approx(lm.next_byte("").stop)


def test_bounds_are_kept_when_texts_are_scored_together(lm: ByteLM) -> None:
    for text, score in zip(TEXTS, lm.score(TEXTS, epsilon=0.05), strict=True):
        exact = lm.score(text)
        assert (score.nats > -1e29).all()
        assert score.asked <= exact.asked + 2
        most = torch.tensor([score.mass, score.missing], dtype=torch.float64).logsumexp(0)
        assert score.mass - 1e-9 <= exact.mass <= float(most) + 1e-9


def test_a_text_longer_than_the_model_is_scored_all_the_same(tiny: Tiny) -> None:
    short = ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3, length=16))
    long = ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3, length=512))
    text = "The quick brown fox isn't lazy, 1234 times. " * 4
    score = short.score(text)
    assert len(score.data) > 10 * 16
    assert torch.isfinite(score.nats).all()
    assert (score.nats > -1e29).all()
    whole = long.score(text)
    torch.testing.assert_close(score.nats[:12], whole.nats[:12], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(score.nats[-12:], whole.nats[-12:])
    state = short.start()
    pushed = [state.law, *(state.push(score.data[at : at + 1])[0] for at in range(len(score.data)))]
    for byte, law, nats in zip(score.data, pushed, score.nats, strict=False):
        assert float(law.nats[byte]) == pytest.approx(float(nats), abs=1e-3)
    with pytest.raises(UsageError, match="longer than the 16 tokens"):
        short.score(text, differentiable=True)


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_one_pass_says_what_streams_say(lm: ByteLM, law: str) -> None:
    other = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law=law, horizon=2)
    for text, context in (("It's a dog", None), ("", None), ("12", [5, 9]), ("\n", "The")):
        told = other.score(text, context, laws=True)
        same(other.score(text, context, laws=True, differentiable=True), told, 1e-9)


@pytest.mark.parametrize("family", ["bytebpe", "spbpe"])
def test_gradients_are_those_of_finite_differences(tiny: Tiny, family: str) -> None:
    lm = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer=family))
    lm.model.double()
    data, step = lm.spell("the  dog's"), 1e-6
    weight: Any = lm.model.get_input_embeddings().weight

    def value() -> torch.Tensor:
        score = lm.score(data, differentiable=True, laws=True)
        assert score.laws is not None
        return score.nats.sum() + (score.laws[3].exp() * score.laws[3]).sum()

    value().backward()
    gradient = weight.grad.clone()
    places = gradient.abs().flatten().topk(3).indices.tolist()
    with torch.no_grad():
        for place in places:
            row, column = divmod(place, weight.shape[1])
            weight[row, column] += step
            above = float(value())
            weight[row, column] -= 2 * step
            below = float(value())
            weight[row, column] += step
            slope = (above - below) / (2 * step)
            assert float(gradient[row, column]) == pytest.approx(slope, rel=1e-5)


def test_gradients_have_numbers_where_a_text_cannot_come(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("phi", tokenizer="bytebpe"))
    never = [token for token, spelled in enumerate(lm.vocabulary.tokens) if b"q" in spelled]
    lm.model.lm_head.bias.data[never] = -torch.inf
    told = lm.score("the quick", laws=True)
    found = lm.score("the quick", laws=True, differentiable=True)
    assert float(told.nats[4]) == -1e30
    assert told.laws is not None
    assert found.laws is not None
    torch.testing.assert_close(found.laws, told.laws, rtol=1e-4, atol=1e-4)
    found.nats.sum().backward()
    for weight in lm.model.parameters():
        assert weight.grad is None or not weight.grad.isnan().any()


def test_gradients_need_a_context(lm: ByteLM) -> None:
    with pytest.raises(UsageError, match="Gradients need a context"):
        lm.score("dog", context=[], differentiable=True)


def test_texts_share_a_tree_as_far_as_there_is_room() -> None:
    assert list(together([800, 0, 240, 240, 2400, 720])) == [[1, 2, 3], [5, 0], [4]]
    assert list(together([])) == []


def test_texts_side_by_side_may_be_longer_than_the_model(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer="bytebpe", seed=3, length=32))
    texts = ["the quick brown fox " * 9, "It's " * 30, "x", "a dog"]
    for text, score in zip(texts, lm.score(texts), strict=True):
        alone = lm.score(text)
        assert torch.allclose(score.nats, alone.nats, atol=1e-4)


def test_whole_texts_are_asked_in_one_forward_pass(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", length=2048))
    lm.score("warm up")  # tries once whether trees suit the model
    passes = list[int]()
    lm.model.register_forward_pre_hook(lambda *told: passes.append(1))
    for texts in ("The quick brown fox. " * 30, ["The quick brown fox. " * 9] * 10):
        passes.clear()
        lm.score(texts, laws=True)
        assert len(passes) == 2  # the context, and all the rest
    assert sum(score.asked for score in lm.score(["The quick brown fox. " * 9] * 10)) > 1000
