"""Gradients of scores: of several texts in one pass as of each alone, and as sums over covers."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch

from tests.bytelevel.enumeration import covers
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM, Score, asking
from tokxfer.bytelevel.gradients import laws_with_gradients
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.errors import UsageError

TEXTS = ["It's a dog", "", "a", "the fox. " * 4, "the dog's 12", "naïve"]
FAMILIES = ["bytebpe", "spbpe", "unigram", "wordpiece"]


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    # of a kind that computes nothing in single precision
    found = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer=request.param, seed=3))
    found.model.double()
    if found.begin is None:
        found.begin = found.vocabulary.names.index("[CLS]")
    return found


@pytest.fixture
def passes(lm: ByteLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of every forward pass of the model."""
    seen: list[int] = []
    assert lm._takes_trees
    plain = type(lm.model).forward

    def forward(self: Any, *given: Any, **told: Any) -> Any:
        seen.append(told["input_ids"].numel())
        return plain(self, *given, **told)

    forward.__signature__ = signature(plain)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(lm.model), "forward", forward)
    return seen


def loss(scores: Sequence[Score]) -> torch.Tensor:
    """A different weight for each byte, and the entropy of each law."""
    total = torch.zeros((), dtype=torch.float64)
    for number, score in enumerate(scores, start=1):
        assert score.laws is not None
        weights = torch.arange(1, len(score.nats) + 1) / number
        total = total + (weights * score.nats.clamp(min=-100)).sum()
        total = total - (score.laws.exp() * score.laws).sum()
    return total


def gradients(lm: ByteLM, value: torch.Tensor) -> list[torch.Tensor]:
    weights = [weight for weight in lm.model.parameters() if weight.requires_grad]
    return list(torch.autograd.grad(value, weights))


def compared(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    assert sum(float(one.abs().sum()) for one in expected) > 1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("law", "context"), [("canonical", None), ("canonical", [7, 30, 9]), ("all", [5])]
)
def test_several_texts_have_the_gradients_of_each_alone(
    lm: ByteLM, passes: list[int], law: str, context: list[int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if law == "all":
        lm = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law=law, horizon=1)
    told: dict[str, Any] = {"context": context, "laws": True, "differentiable": True}
    assert lm._takes_trees
    passes.clear()
    together = lm.score(TEXTS, **told)
    before = len(lm.context(context)) - 1
    assert passes == [before + sum(score.asked for score in together)], "one pass, no padding"
    alone = [lm.score(text, **told) for text in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert one.data == other.data
        assert one.asked == other.asked
        assert one.mass == pytest.approx(other.mass, abs=1e-10)
        assert one.stop == pytest.approx(other.stop, abs=1e-10)
        torch.testing.assert_close(one.laws, other.laws, rtol=0, atol=1e-9)
        torch.testing.assert_close(one.nats, other.nats, rtol=0, atol=1e-9)
    expected = gradients(lm, loss(alone))
    compared(gradients(lm, loss(together)), expected)

    monkeypatch.setattr(asking, "ROOM", 30)
    passes.clear()
    parts = lm.score(TEXTS, **told)
    forward = len(passes)
    assert 1 < forward < len(TEXTS)
    compared(gradients(lm, loss(parts)), expected)
    assert passes[forward:] == passes[:forward][::-1], "each pass is done again, the last first"


def test_a_model_that_is_read_in_rows_has_the_same_gradients(lm: ByteLM) -> None:
    rows = ByteLM(lm.model, lm.vocabulary, stops=lm.stops)
    rows.__dict__["_takes_trees"], rows.begin = False, lm.begin
    texts = TEXTS[:3]
    found, expected = (one.score(texts, laws=True, differentiable=True) for one in (rows, lm))
    compared(gradients(rows, loss(found)), gradients(lm, loss(expected)))


def by_covers(lm: ByteLM, data: bytes) -> torch.Tensor:
    """Log-probability of each byte [bytes], by `laws_by_covers`."""
    laws = laws_by_covers(lm, data)
    return laws[torch.arange(len(data)), torch.tensor(list(data))]


def laws_by_covers(lm: ByteLM, data: bytes) -> torch.Tensor:
    """The law before each byte [bytes, 257], from sums over all token sequences, one by one.

    Every sequence that covers a beginning is enumerated, followed by the tokenizer's rule, and its
    probability is the product of the model's answers to plain rows, without trees or masks.
    """
    rule, tokens, begin = lm.tokens.rule, lm.vocabulary.tokens, lm.begin
    assert begin is not None
    known: dict[tuple[int, ...], torch.Tensor] = {}

    def shares(row: tuple[int, ...]) -> torch.Tensor:
        if row not in known:
            logits = lm.model(input_ids=torch.tensor([[begin, *row]])).logits[0, -1]
            known[row] = logits[: lm.vocabulary.size].softmax(dim=0)
        return known[row]

    def state_of(row: tuple[int, ...]) -> Any:
        state: Any = rule.start
        for token in row:
            state = None if state is None or token in lm.stops else rule.follow(state, token)
        return state

    laws = []
    for place in range(len(data)):
        joint = [torch.zeros((), dtype=torch.float64)] * 257
        for row in map(tuple, covers(lm.vocabulary, data[:place]) if place else [[]]):
            state = state_of(row)
            if state is None:
                continue
            weight = torch.ones((), dtype=torch.float64)
            for at, token in enumerate(row):
                weight = weight * shares(row[:at])[token]
            spelled = b"".join(rule.tokens[token] for token in row)
            if len(spelled) > place:
                joint[spelled[place]] = joint[spelled[place]] + weight
                continue
            for token in rule.allowed(state).nonzero()[0].tolist():
                if token not in lm.stops and tokens[token]:
                    first = tokens[token][0]
                    joint[first] = joint[first] + weight * shares(row)[token]
            if rule.ends(state):
                joint[256] = joint[256] + weight * shares(row)[lm.stops].sum()
        law = torch.stack(joint)
        some = law > 0
        nats = (torch.where(some, law, 1.0) / law.sum()).log()
        laws.append(nats.masked_fill(~some, IMPOSSIBLE))
    return torch.stack(laws)


def test_gradients_are_those_of_a_sum_over_all_covers(lm: ByteLM) -> None:
    texts = [lm.spell(text) for text in ("then", "a do")]
    scores = lm.score(texts, differentiable=True)
    expected = [by_covers(lm, data) for data in texts]
    for score, nats in zip(scores, expected, strict=True):
        torch.testing.assert_close(score.nats, nats, rtol=0, atol=1e-10)
    assert max(score.asked for score in scores) > 3
    weights = torch.arange(1, 12)
    compared(
        gradients(lm, sum((s.nats * weights[: len(s.nats)]).sum() for s in scores)),  # type: ignore[arg-type]
        gradients(lm, sum((n * weights[: len(n)]).sum() for n in expected)),  # type: ignore[arg-type]
    )


def test_no_texts_have_no_scores(lm: ByteLM) -> None:
    nothing: list[str] = []
    assert lm.score(nothing, differentiable=True) == []


def test_a_text_at_which_nothing_is_asked_does_not_end_a_drawing_of_places(lm: ByteLM) -> None:
    data, context = [lm.spell(text) for text in ("a", "then", "the")], lm.context(None)
    whole = laws_with_gradients(lm, data, context)
    for wanted in ([[], [0, 2], []], [[], [], []]):
        places = [np.array(some, dtype=np.int64) for some in wanted]
        found = laws_with_gradients(lm, data, context, places)
        for laws, all_laws, some in zip(found, whole, wanted, strict=True):
            torch.testing.assert_close(laws, all_laws[some], rtol=0, atol=1e-10, check_dtype=False)


def test_one_text_that_is_too_long_is_refused_among_others(lm: ByteLM) -> None:
    with pytest.raises(UsageError, match="longer than the 128 tokens of the model"):
        lm.score(["a", "the fox. " * 60], differentiable=True)
    with pytest.raises(UsageError, match="longer than the 6 tokens of a window"):
        lm.score(["a", "the fox. " * 4], window=6, differentiable=True)
