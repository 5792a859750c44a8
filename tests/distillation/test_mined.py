"""MinED against its formula in loops, its map against comparing everything with everything."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.distillation.sides import check_gradients, of_logits, side
from tests.distillation.test_editdistance import distance
from tests.vocabulary.vocabularies import vocabulary
from tokxfer.distillation.logitrows import Rows
from tokxfer.distillation.mined import mined, nearest_ids, warped_pairs
from tokxfer.distillation.part import Part
from tokxfer.vocabulary import Kind

NEAREST = torch.tensor([3, 0, 0, -1, 5, 2, 1])
OTHERS = torch.tensor([True, False, True])
NATS = -torch.rand(3, dtype=torch.float64)


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(each / temperature) for each in logits]
    return [each / sum(powers) for each in powers]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sums_are_those_of_the_formula(temperature: float) -> None:
    student, teacher = side(5, 7, 0), side(5, 6, 1)
    part = mined(student, teacher, NEAREST, NATS, OTHERS, temperature=temperature, rows=2)
    expected = -float(NATS[0] + NATS[2])
    for mine, theirs in zip(student.logits().tolist(), teacher.logits().tolist(), strict=True):
        permuted = [theirs[j] if j >= 0 else -math.inf for j in NEAREST.tolist()]
        p, q = softmax(permuted, temperature), softmax(mine, temperature)
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
    torch.testing.assert_close(part.total, torch.tensor(expected, dtype=torch.float64))
    assert part.count == 7


def test_gradients_are_those_of_finite_differences() -> None:
    teacher = side(3, 6, 1)

    def objective(student: Rows, nats: Tensor) -> Part:
        return mined(student, teacher, NEAREST, nats, OTHERS, rows=2)

    assert check_gradients(objective, side(3, 7, 0), NATS)


def test_it_is_zero_where_the_student_permutes_the_teacher_and_knows_the_text() -> None:
    order = torch.tensor([2, 0, 1, 3])
    theirs = torch.randn(3, 4, dtype=torch.float64)
    part = mined(of_logits(theirs[:, order]), of_logits(theirs), order, NATS * 0, OTHERS)
    assert abs(float(part.total)) < 1e-12


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = side(3, 7, 0), side(3, 6, 1)
    for leaf in (student.hidden, teacher.hidden, teacher.head.weight):
        leaf.requires_grad_()
    mined(student, teacher, NEAREST, NATS, OTHERS).total.backward()
    assert student.hidden.grad is not None
    assert (teacher.hidden.grad, teacher.head.weight.grad) == (None, None)


def test_padding_is_not_counted() -> None:
    """Rows of padding in the denominator weaken the loss with every longer text of a batch."""
    student, teacher = side(5, 7, 0), side(5, 6, 1)
    padded = torch.cat([NATS, torch.full((40,), math.nan).double()])
    wanted = torch.cat([OTHERS, torch.zeros(40, dtype=torch.bool)])
    for nats, others in ((NATS, OTHERS), (padded, wanted)):
        part = mined(student, teacher, NEAREST, nats, others)
        torch.testing.assert_close(
            part.mean, mined(student, teacher, NEAREST, NATS, OTHERS).total / 7
        )


def test_half_precision_is_compared_in_single() -> None:
    student, teacher = (side(4, n, n, dtype=torch.bfloat16) for n in (7, 6))
    part = mined(student, teacher, NEAREST, NATS.bfloat16(), OTHERS)
    wide = [of_logits(each.logits().double()) for each in (student, teacher)]
    exact = mined(*wide, NEAREST, NATS.bfloat16().double(), OTHERS)
    assert part.total.dtype == torch.float32
    torch.testing.assert_close(part.total.double(), exact.total, rtol=1e-5, atol=1e-6)


def test_a_map_of_another_head_is_refused() -> None:
    with pytest.raises(ValueError, match="7 tokens have a nearest one, but the head has 8 rows"):
        mined(side(4, 8, 0), side(4, 6, 1), NEAREST, NATS, OTHERS)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ("sentencepiece_bpe", "byte_level"),
        ("byte_level", "sentencepiece_bpe"),
        ("gemma", "unigram"),
    ],
)
def test_the_map_is_what_comparing_everything_finds(student: str, teacher: str) -> None:
    mine, theirs = vocabulary(student), vocabulary(teacher)
    found = nearest_ids(mine, theirs)
    far = [i for i in mine.text_ids.tolist() if mine.tokens[i] not in theirs.by_bytes]
    for token in far[:: max(1, len(far) // 25)]:
        least = min((distance(mine.tokens[token], theirs.tokens[j]), j) for j in theirs.text_ids)
        assert found[token] == least[1]
    for token in mine.text_ids.tolist():
        if mine.tokens[token] in theirs.by_bytes:
            assert theirs.tokens[found[token]] == mine.tokens[token]
    assert (found[mine.kinds == Kind.UNUSED] == -1).all()


def test_special_tokens_stand_for_those_of_their_role_or_for_none() -> None:
    mine, theirs = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    found = nearest_ids(mine, theirs)
    special = np.flatnonzero(mine.kinds == Kind.SPECIAL)
    assert len(special)
    assert found[mine.roles["eos"]] == theirs.roles["eos"]
    assert all(found[i] == -1 or theirs.kinds[found[i]] == Kind.SPECIAL for i in special)


def warp_oracle(teacher: list[bytes], student: list[bytes]) -> float:
    """The cost of the cheapest path, by recursion over its last step."""

    @cache
    def cost(i: int, j: int) -> float:
        here = distance(teacher[i], student[j])
        if i == j == 0:
            return here
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return here + min(cost(*step) for step in steps if min(step) >= 0)

    return cost(len(teacher) - 1, len(student) - 1)


WORDS = st.lists(st.text("abc", min_size=1, max_size=3).map(str.encode), min_size=1, max_size=7)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_warped_pairs_lie_on_a_cheapest_path(teacher: list[bytes], student: list[bytes]) -> None:
    places, others = warped_pairs(teacher, student)
    total, low = 0.0, (0, 0)
    for place, other in [*zip(places.tolist(), others.tolist(), strict=True), (None, None)]:
        high = (len(teacher), len(student)) if place is None else (place, other)
        between = teacher[low[0] : high[0]], student[low[1] : high[1]]
        assert bool(between[0]) == bool(between[1])  # no token is on no cell of the path
        total += warp_oracle(*map(list, between)) if between[0] else 0.0
        if place is not None:
            total += distance(teacher[place], student[other])
            low = (place + 1, other + 1)
    assert total == warp_oracle(teacher, student)


def test_warping_pairs_tokens_of_different_text_and_leaves_equal_ones_out() -> None:
    """Which is why chunks are what is aligned by: here they pair `the` and ` sat`."""
    teacher, student = [b"the", b" cat", b"s", b" sat"], [b"the", b" cats", b" sat"]
    places, others = warped_pairs(teacher, student)
    assert list(zip(places.tolist(), others.tolist(), strict=True)) == [(0, 0), (1, 1)]
    assert [len(side) for side in warped_pairs([], student)] == [0, 0]
