"""SinKD against scaling in loops, and against a linear program."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from tests.distillation.sides import check_gradients, of_logits, side
from tokxfer.distillation.logitrows import Rows
from tokxfer.distillation.sinkd import sinkd, transport


def probabilities(rows: Rows, temperature: float) -> list[list[float]]:
    return (rows.logits() / temperature).softmax(1).tolist()


def oracle(
    student: list[list[float]], teacher: list[list[float]], epsilon: float, iterations: int
) -> float:
    """The formula, scaling in place of subtracting logarithms."""
    count = range(len(student))
    cost = [[sum(abs(a - b) for a, b in zip(q, p, strict=True)) for p in teacher] for q in student]
    plan = [[math.exp(-each / epsilon) for each in line] for line in cost]
    for _ in range(iterations):
        plan = [[each / sum(line) for each in line] for line in plan]
        sums = [sum(plan[i][j] for i in count) for j in count]
        plan = [[plan[i][j] / sums[j] for j in count] for i in count]
    return sum(plan[i][j] * cost[i][j] for i in count for j in count)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize("iterations", [1, 20])
def test_sums_are_those_of_the_formula_group_by_group(epsilon: float, iterations: int) -> None:
    student, teacher = side(7, 6, 0), side(7, 6, 1)
    part = sinkd(student, teacher, group=3, epsilon=epsilon, iterations=iterations)
    mine, theirs = probabilities(student, 2.0), probabilities(teacher, 2.0)
    expected = sum(
        oracle(mine[low : low + 3], theirs[low : low + 3], epsilon, iterations) for low in (0, 3, 6)
    )
    torch.testing.assert_close(part.total, torch.tensor(expected, dtype=torch.float64))
    assert part.count == 7


def test_with_little_spreading_it_is_the_optimum_of_a_linear_program() -> None:
    student, teacher = side(5, 6, 0), side(5, 6, 1)
    part = sinkd(student, teacher, epsilon=2e-3, iterations=4000, temperature=1.0)
    mine, theirs = (np.array(probabilities(each, 1.0)) for each in (student, teacher))
    cost = np.abs(mine[:, None] - theirs[None]).sum(-1)
    eye, ones = np.eye(5), np.ones((1, 5))
    sums = np.concatenate([np.kron(eye, ones), np.kron(ones, eye)])  # of rows, of columns
    least = linprog(cost.ravel(), A_eq=sums, b_eq=np.ones(10), bounds=(0, None))
    assert least.success
    torch.testing.assert_close(float(part.total), float(least.fun), rtol=1e-3, atol=1e-4)


def test_costs_far_beyond_the_spreading_do_not_underflow() -> None:
    """exp(−2 / 0.001) is 0 in any precision, and 0 / 0 nothing at all."""
    cost = torch.tensor([[2.0, 1.9], [1.8, 2.0]])
    plan = transport(cost, 1e-3, 20)
    torch.testing.assert_close(plan, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_gradients_are_those_of_finite_differences_through_all_scalings() -> None:
    teacher = side(4, 5, 1)
    assert check_gradients(
        lambda me: sinkd(me, teacher, group=3, epsilon=0.5, iterations=5), side(4, 5, 0)
    )


def test_it_nears_zero_where_both_say_the_same_as_the_spreading_goes() -> None:
    logits = torch.randn(4, 6, dtype=torch.float64) * 3
    costs = [
        float(sinkd(of_logits(logits), of_logits(logits), epsilon=epsilon).total)
        for epsilon in (1.0, 0.1, 0.01)
    ]
    assert costs[0] > costs[1] > costs[2]
    assert costs[2] < 1e-6


def test_the_order_of_the_teachers_positions_within_a_group_plays_no_part() -> None:
    student, teacher = side(5, 6, 0), side(5, 6, 1)
    turned = Rows(teacher.hidden[[3, 0, 4, 2, 1]], teacher.head)
    torch.testing.assert_close(sinkd(student, turned).total, sinkd(student, teacher).total)
    cut = [sinkd(student, each, group=2).total for each in (turned, teacher)]
    assert abs(float(cut[0] - cut[1])) > 1e-3


def test_ids_may_be_permuted_on_both_sides_together() -> None:
    mine, theirs = torch.randn(2, 5, 6, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 2, 5, 1])
    plain = sinkd(of_logits(mine), of_logits(theirs))
    both = sinkd(of_logits(mine[:, order]), of_logits(theirs[:, order]))
    torch.testing.assert_close(plain.total, both.total)
    one = sinkd(of_logits(mine[:, order]), of_logits(theirs))
    assert abs(float(plain.total - one.total)) > 1e-3


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = side(3, 6, 0), side(3, 6, 1)
    for leaf in (student.hidden, teacher.hidden, teacher.head.weight):
        leaf.requires_grad_()
    sinkd(student, teacher).total.backward()
    assert student.hidden.grad is not None
    assert (teacher.hidden.grad, teacher.head.weight.grad) == (None, None)


def test_half_precision_is_compared_in_single() -> None:
    student, teacher = (side(4, 9, seed, dtype=torch.bfloat16) for seed in (0, 1))
    part = sinkd(student, teacher)
    exact = sinkd(*(of_logits(each.logits().double()) for each in (student, teacher)))
    assert part.total.dtype == torch.float32
    torch.testing.assert_close(part.total.double(), exact.total, rtol=1e-4, atol=1e-5)


def test_heads_of_two_vocabularies_are_refused() -> None:
    with pytest.raises(ValueError, match="heads of 6 and 7 rows"):
        sinkd(side(3, 6, 0), side(3, 7, 1))
    assert sinkd(side(3, 6, 0), side(3, 7, 1), size=6).count == 3
