"""GOLD's hybrid against its formula in loops, and what is known to go wrong with it."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.distillation.sides import check_gradients, of_logits, side, slope_of_logits
from tokxfer.distillation.divergences import divergence, same_vocabulary
from tokxfer.distillation.gold import gold
from tokxfer.distillation.logitrows import Rows
from tokxfer.distillation.matching import Matching
from tokxfer.distillation.part import Part
from tokxfer.distillation.positions import earlier, last_tokens

MATCHING = Matching.of(np.array([0, 2, 5]), np.array([4, 1, 0]), 7, 6)
NOTHING = torch.zeros(4, dtype=torch.float64)


def oracle(
    mine: list[float], theirs: list[float], beta: float, weights: tuple[float, float], floor: float
) -> float:
    """The formula for one pair of rows, which need not sum to one."""
    pairs = list(zip(MATCHING.student.tolist(), MATCHING.teacher.tolist(), strict=True))
    p = [max(theirs[j], floor) for _, j in pairs]
    q = [max(mine[i], floor) for i, _ in pairs]
    m = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]

    def kl(left: list[float], right: list[float]) -> float:
        return sum(a * math.log(a / b) for a, b in zip(left, right, strict=True))

    first = kl(p, q) if beta == 0 else kl(q, p) if beta == 1 else None
    if first is None:
        first = beta * kl(p, m) + (1 - beta) * kl(q, m)
    left = sorted((v for i, v in enumerate(mine) if i not in {a for a, _ in pairs}), reverse=True)
    right = sorted(
        (v for j, v in enumerate(theirs) if j not in {b for _, b in pairs}), reverse=True
    )
    longest = max(len(left), len(right))
    left, right = (each + [0.0] * (longest - len(each)) for each in (left, right))
    rest = sum(abs(a - b) for a, b in zip(left, right, strict=True))
    return weights[0] * first + weights[1] * rest


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("weights", [None, (2.0, 0.3)])
@pytest.mark.parametrize("floor", [1e-8, 0.1])
def test_sums_are_those_of_the_formula(
    beta: float, weights: tuple[float, float] | None, floor: float
) -> None:
    student, teacher = side(4, 7, 0), side(4, 6, 1)
    before, their_before = -torch.rand(2, 4, dtype=torch.float64)
    part = gold(
        student, teacher, MATCHING, student_before=before, teacher_before=their_before,
        beta=beta, weights=weights, floor=floor, rows=3,
    )  # fmt: skip
    expected = 0.0
    for row in range(4):
        mine = (student.logits()[row].softmax(0) * before[row].exp()).tolist()
        theirs = (teacher.logits()[row].softmax(0) * their_before[row].exp()).tolist()
        # three of the teacher's six ids are matched
        expected += oracle(mine, theirs, beta, weights or (0.5, 0.5), floor)
    torch.testing.assert_close(part.total, torch.tensor(expected, dtype=torch.float64))
    assert part.count == 4


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bucket", [False, True])
def test_gradients_are_those_of_finite_differences(beta: float, bucket: bool) -> None:
    teacher, their_before = side(3, 6, 1), -torch.rand(3, dtype=torch.float64)

    def objective(student: Rows, before: Tensor) -> Part:
        return gold(
            student, teacher, MATCHING, student_before=before, teacher_before=their_before,
            beta=beta, bucket=bucket,
        )  # fmt: skip

    assert check_gradients(objective, side(3, 7, 0), -torch.rand(3, dtype=torch.float64))


@pytest.mark.parametrize("bucket", [False, True])
def test_it_is_zero_where_both_say_the_same(bucket: bool) -> None:
    ids = torch.tensor([4, 1, 0])
    matching = Matching.of(np.arange(3), ids.numpy(), 6, 6)
    mine = torch.randn(4, 6, dtype=torch.float64)
    order = torch.cat([ids, matching.teacher_rest])
    theirs = torch.empty_like(mine)
    theirs[:, order] = mine
    before = -torch.rand(4, dtype=torch.float64)
    part = gold(
        of_logits(mine), of_logits(theirs), matching,
        student_before=before, teacher_before=before, bucket=bucket,
    )  # fmt: skip
    assert abs(float(part.total)) < 1e-12


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = side(4, 7, 0), side(4, 6, 1)
    before = [NOTHING.clone().requires_grad_() for _ in range(2)]
    for leaf in (student.hidden, teacher.hidden, teacher.head.weight):
        leaf.requires_grad_()
    gold(
        student, teacher, MATCHING, student_before=before[0], teacher_before=before[1]
    ).total.backward()
    assert student.hidden.grad is not None
    assert before[0].grad is not None
    assert (teacher.hidden.grad, teacher.head.weight.grad, before[1].grad) == (None, None, None)


def test_rows_of_chunks_are_the_joint_of_their_text_and_not_one_late() -> None:
    """A toy model over three ids: every merged row is what counting all continuations says.

    Slices at the answer's places, as they are elsewhere, give the row that predicts the token
    behind the chunk.
    """
    source = torch.Generator().manual_seed(0)
    table = torch.randn(3, 3, 3, generator=source, dtype=torch.float64).log_softmax(-1)
    ids = torch.tensor([[0, 2, 1, 1, 0, 2]])
    chunk = torch.tensor([[-1, -1, 0, 0, 0, 1]], dtype=torch.int32)
    final, counts = torch.tensor([[4, 5]]), torch.tensor([2], dtype=torch.int32)
    said = torch.stack([table[ids[0, max(t - 1, 0)], ids[0, t]] for t in range(6)])  # at each place
    log_probs = torch.zeros(1, 6, dtype=torch.float64)
    log_probs[0, 1:] = said[:-1].gather(1, ids[0, 1:, None]).squeeze(1)
    rows = Rows.before(said[None], last_tokens(final, counts, 6), of_logits(said).head)
    merged = rows.logits().log_softmax(-1) + earlier(log_probs, chunk, final, counts)[:, None]

    def joint(context: list[int], text: list[int]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for token in text:
            total = total + table[context[-2], context[-1], token]
            context = [*context, token]
        return total

    for row, (start, stop) in enumerate([(2, 5), (5, 6)]):
        text = ids[0, start:stop].tolist()
        whole = sum(
            joint(ids[0, :start].tolist(), list(each)).exp()
            for each in product(range(3), repeat=len(text))
        )
        torch.testing.assert_close(whole, torch.ones_like(whole))
        for last in range(3):
            expected = joint(ids[0, :start].tolist(), [*text[:-1], last])
            torch.testing.assert_close(merged[row, last], expected)
    late = said[final[0]] + earlier(log_probs, chunk, final, counts)[:, None]
    assert float((late - merged).abs().mean()) > 0.5


def test_matched_kl_pushes_every_unmatched_token_down_whatever_the_teacher_thinks() -> None:
    """By its probability times the teacher's mass on what is matched; a bucket cures it."""
    mine, theirs = torch.randn(2, 4, 7, dtype=torch.float64)
    theirs = theirs[:, :6]
    theirs[:, MATCHING.teacher_rest] += 3.0  # the teacher wants tokens that are not matched

    def slope(bucket: bool) -> Tensor:
        return slope_of_logits(
            lambda me: gold(
                me, of_logits(theirs), MATCHING, student_before=NOTHING, teacher_before=NOTHING,
                beta=0.0, weights=(1.0, 0.0), floor=0.0, bucket=bucket,
            ),
            mine,
        )[:, MATCHING.student_rest]  # fmt: skip

    mass = theirs.softmax(1)[:, MATCHING.teacher].sum(1, keepdim=True)
    pushed = slope(bucket=False)
    torch.testing.assert_close(pushed, mine.softmax(1)[:, MATCHING.student_rest] * mass)
    assert (pushed > 0).all()  # descent lowers what has a positive slope
    assert (slope(bucket=True).sum(1) < 0).all()


def test_with_a_bucket_and_every_token_matched_it_is_the_divergence_of_one_vocabulary() -> None:
    student, teacher = side(4, 6, 0), side(4, 6, 1)
    matching = Matching.of(np.arange(6), np.arange(6), 6, 6)
    part = gold(student, teacher, matching, student_before=NOTHING, teacher_before=NOTHING)
    same = same_vocabulary(student, teacher, divergence("jsd"))
    torch.testing.assert_close(part.total, same.total)


def test_half_precision_is_compared_in_single() -> None:
    student, teacher = (side(4, n, n, dtype=torch.bfloat16) for n in (7, 6))
    along = {"student_before": NOTHING.bfloat16(), "teacher_before": NOTHING.bfloat16()}
    part = gold(student, teacher, MATCHING, **along)
    wide = [of_logits(each.logits().double()) for each in (student, teacher)]
    exact = gold(*wide, MATCHING, student_before=NOTHING, teacher_before=NOTHING)
    assert part.total.dtype == torch.float32
    torch.testing.assert_close(part.total.double(), exact.total, rtol=1e-5, atol=1e-6)


def test_matchings_of_other_heads_and_shares_that_are_none_are_refused() -> None:
    along = {"student_before": NOTHING, "teacher_before": NOTHING}
    with pytest.raises(ValueError, match="head of 8 rows, matched as of 7"):
        gold(side(4, 8, 0), side(4, 6, 1), MATCHING, **along)
    with pytest.raises(ValueError, match="beta is 2"):
        gold(side(4, 7, 0), side(4, 6, 1), MATCHING, beta=2.0, **along)
