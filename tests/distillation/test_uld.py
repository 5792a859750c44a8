"""Universal Logit Distillation against its definition, and against what its code elsewhere does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.distillation.sides import check_gradients, of_logits, side, slope_of_logits
from tokxfer.distillation.logitrows import Rows
from tokxfer.distillation.part import Part
from tokxfer.distillation.uld import uld


def oracle(student: Tensor, teacher: Tensor, temperatures: tuple[float, float]) -> float:
    """Sorted probabilities of every row, zeros behind the shorter, absolute differences."""
    total = 0.0
    for mine, theirs in zip(student, teacher, strict=True):
        one = sorted(torch.softmax(mine / temperatures[0], 0).tolist(), reverse=True)
        other = sorted(torch.softmax(theirs / temperatures[1], 0).tolist(), reverse=True)
        longest = max(len(one), len(other))
        one, other = (each + [0.0] * (longest - len(each)) for each in (one, other))
        total += sum(abs(a - b) for a, b in zip(one, other, strict=True))
    return total


@pytest.mark.parametrize("sizes", [(9, 6), (6, 9), (7, 7)])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (2.0, 0.5)])
def test_sums_are_those_of_the_definition(
    sizes: tuple[int, int], temperatures: tuple[float, float]
) -> None:
    student, teacher = side(5, sizes[0], 0), side(5, sizes[1], 1)
    part = uld(student, teacher, temperatures=temperatures, rows=2)
    expected = oracle(student.logits(), teacher.logits(), temperatures)
    torch.testing.assert_close(part.total, torch.tensor(expected).double())
    assert part.count == 5


def test_rows_of_chunks_are_multiplied_by_what_comes_earlier() -> None:
    student, teacher = side(3, 6, 0), side(3, 8, 1)
    before = (-torch.rand(3).double(), -torch.rand(3).double())
    part = uld(student, teacher, before=before)
    expected = 0.0
    for row in range(3):
        mine, theirs = (
            (each.logits()[row].softmax(0) * scale[row].exp()).sort(descending=True).values
            for each, scale in zip((student, teacher), before, strict=True)
        )
        expected += float((mine - theirs[:6]).abs().sum() + theirs[6:].sum())
    torch.testing.assert_close(part.total, torch.tensor(expected).double())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_which_token_has_a_probability_plays_no_part(seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    mine, theirs = torch.randn(2, 4, 9, generator=source, dtype=torch.float64)
    order = torch.randperm(9, generator=source)
    plain, shuffled = (
        uld(of_logits(mine), of_logits(theirs)),
        uld(of_logits(mine[:, order]), of_logits(theirs)),
    )
    torch.testing.assert_close(plain.total, shuffled.total)
    assert float(uld(of_logits(theirs[:, order]), of_logits(theirs)).total) < 1e-12
    assert 0.0 < float(plain.total) <= 2 * 4


def test_gradients_are_those_of_finite_differences() -> None:
    teacher = side(3, 5, 1)
    assert check_gradients(lambda student: uld(student, teacher, rows=2), side(3, 7, 0))

    def merged(student: Rows, before: Tensor) -> Part:
        return uld(student, teacher, before=(before, torch.full((3,), -1.0).double()))

    assert check_gradients(merged, side(3, 7, 0), torch.zeros(3).double())


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = side(3, 7, 0), side(3, 5, 1)
    before = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    for leaf in (student.hidden, teacher.hidden, teacher.head.weight):
        leaf.requires_grad_()
    uld(student, teacher, before=(before[0], before[1])).total.backward()
    assert student.hidden.grad is not None
    assert before[0].grad is not None
    assert (teacher.hidden.grad, teacher.head.weight.grad, before[1].grad) == (None, None, None)


def test_logits_are_not_overwritten_with_their_softmax() -> None:
    """Written in place, the cross-entropy that is computed next would be of a softmax."""
    student, teacher = side(3, 7, 0), side(3, 5, 1)
    said = [each.logits().clone() for each in (student, teacher)]
    uld(student, teacher)
    assert torch.equal(student.logits(), said[0])
    assert torch.equal(teacher.logits(), said[1])
    mine, theirs = (torch.randn(3, 7, dtype=torch.float64) for _ in range(2))
    kept = mine.clone(), theirs.clone()
    uld(of_logits(mine), of_logits(theirs))
    assert torch.equal(mine, kept[0])
    assert torch.equal(theirs, kept[1])


@pytest.mark.parametrize("cut", [4, 2, 1])
def test_accumulating_gradients_does_not_multiply_the_loss(cut: int) -> None:
    """The same four samples as 1x4, 2x2 and 4x1 have one loss and one gradient."""
    student, teacher = side(4, 7, 0), side(4, 5, 1)
    student.head.weight.requires_grad_()
    sizes = [3, 1, 4, 2]  # positions of each sample: a mean of means is another number
    mine, theirs = (each.hidden.repeat(3, 1)[:10].split(sizes) for each in (student, teacher))

    def step(samples: int) -> tuple[Tensor, Tensor]:
        parts: list[Any] = [
            uld(
                Rows(torch.cat(mine[low : low + samples]), student.head),
                Rows(torch.cat(theirs[low : low + samples]), teacher.head),
            )
            for low in range(0, 4, samples)
        ]
        mean = sum(parts).mean  # type: ignore[union-attr]
        return mean, torch.autograd.grad(mean, student.head.weight)[0]

    for found, expected in zip(step(cut), step(4), strict=True):
        torch.testing.assert_close(found, expected)


def test_half_precision_is_compared_in_single() -> None:
    sides = [side(4, 9, seed, dtype=torch.bfloat16) for seed in (0, 1)]
    part = uld(*sides)
    exact = oracle(*(each.logits().double() for each in sides), (1.0, 1.0))
    assert part.total.dtype == torch.float32
    torch.testing.assert_close(float(part.total), exact, rtol=1e-5, atol=1e-6)


def test_the_likeliest_token_is_moved_towards_the_teachers_likeliest_probability() -> None:
    student = torch.tensor([[2.0, 0.0, 0.0]]).double()
    slope = slope_of_logits(lambda me: uld(me, of_logits(student.flip(1) * 2)), student)
    assert slope[0, 0] < 0 < slope[0, 2]
