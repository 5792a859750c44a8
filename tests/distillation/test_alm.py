"""ALM equals its formula written out, its limits, and its gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tokxfer.distillation.alm import alm, log1mexp
from tokxfer.errors import UsageError

DIVERGENCES = ["kl", "cross_entropy", "reverse_kl", "tv"]
VALID = torch.tensor([[True, True, True, False], [True, False, False, False]])


def chunks(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return (-10 * torch.rand(2, 4, generator=source, dtype=torch.float64)).to(dtype)


def by_hand(teacher: Tensor, student: Tensor, tau: float, divergence: str) -> float:
    """Two outcomes, chunk by chunk, in plain Python."""
    total = 0.0
    for row, place in VALID.nonzero().tolist():
        p, q = (math.exp(float(side[row, place]) / tau) for side in (teacher, student))
        for one, other in ((p, q), (1 - p, 1 - q)):
            total += {
                "kl": one * math.log(one / other),
                "cross_entropy": -one * math.log(other),
                "reverse_kl": other * math.log(other / one),
                "tv": abs(one - other) / 2,
            }[divergence]
    return total


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("tau", [1.0, 5.0, 100.0])
def test_the_sum_is_that_of_two_outcomes_a_chunk(tau: float, divergence: str) -> None:
    teacher, student = chunks(1), chunks(2)
    part = alm(teacher, student, VALID, tau, divergence)
    assert part.total.item() == pytest.approx(by_hand(teacher, student, tau, divergence))
    assert part.count == 4


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("tau", [1.0, 5.0, math.inf])
def test_gradients_pass_gradcheck(tau: float, divergence: str) -> None:
    teacher, student = chunks(1), chunks(2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logs: alm(teacher, logs, VALID, tau, divergence).total, student
    )


@pytest.mark.parametrize("tau", [1.0, 5.0, math.inf])
def test_cross_entropy_and_kl_have_the_same_gradient(tau: float) -> None:
    student = chunks(2).requires_grad_()
    slopes = [
        torch.autograd.grad(alm(chunks(1), student, VALID, tau, name).total, student)[0]
        for name in ("kl", "cross_entropy")
    ]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "tv"])
def test_the_limit_is_what_tau_times_a_large_tau_comes_to(divergence: str) -> None:
    teacher, student, tau = chunks(1), chunks(2), 1e6
    limit = alm(teacher, student, VALID, math.inf, divergence).total
    near = alm(teacher, student, VALID, tau, divergence).total * tau
    assert limit.item() == pytest.approx(near.item(), rel=1e-4)


def test_the_limit_of_cross_entropy_lacks_what_grows_with_tau() -> None:
    teacher, student, tau = chunks(1), chunks(2), 1e7
    near = alm(teacher, student, VALID, tau, "cross_entropy").total * tau
    growing = -teacher[VALID].sum() * math.log(tau)
    limit = alm(teacher, student, VALID, math.inf, "cross_entropy").total
    assert limit.item() == pytest.approx((near - growing).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("divergence", "closed"),
    [
        ("tv", lambda t, s: (t - s).abs()),
        ("kl", lambda t, s: (t - s) + t * (s / t).log()),
        ("reverse_kl", lambda t, s: (s - t) + s * (t / s).log()),
    ],
)
def test_limits_are_the_papers_closed_forms(divergence: str, closed: object) -> None:
    assert callable(closed)
    teacher, student = chunks(1), chunks(2)
    found = alm(teacher, student, VALID, math.inf, divergence).total
    torch.testing.assert_close(found, closed(teacher, student)[VALID].sum())


@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "tv"])
@pytest.mark.parametrize("tau", [1.0, 5.0, math.inf])
def test_equal_chunks_cost_nothing(tau: float, divergence: str) -> None:
    both = torch.tensor([[-3.0, 0.0, -1e-7, -1e5, -math.inf]])
    valid = torch.ones_like(both, dtype=torch.bool)
    student = both.clone().requires_grad_()
    part = alm(both, student, valid, tau, divergence)
    assert part.total.item() == pytest.approx(0.0, abs=1e-5)
    part.total.backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("tau", [1.0, 5.0, math.inf])
def test_certain_and_impossible_chunks_leave_gradients_finite(tau: float, divergence: str) -> None:
    extremes = torch.tensor([0.0, -1e-9, -0.5, -200.0, -1e4])
    teacher = extremes.repeat_interleave(5).unsqueeze(0)
    student = extremes.repeat(5).unsqueeze(0).requires_grad_()
    part = alm(teacher, student, torch.ones(1, 25, dtype=torch.bool), tau, divergence)
    assert part.total.isfinite()
    part.total.backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


def test_an_overconfident_student_is_still_pushed() -> None:
    """Its probability is 1 in single precision, the teacher's a half: other logits must rise."""
    logits = torch.tensor([[20.0, 0.0]], requires_grad=True)
    student = logits.log_softmax(1)[:, :1]
    part = alm(torch.tensor([[math.log(0.5)]]), student, torch.ones(1, 1, dtype=torch.bool), 1.0)
    part.total.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] < 0


def test_places_without_a_chunk_may_hold_anything() -> None:
    teacher, student = chunks(1), chunks(2)
    expected = alm(teacher, student, VALID).total
    student = student.masked_fill(~VALID, math.nan).requires_grad_()
    part = alm(teacher.masked_fill(~VALID, math.nan), student, VALID)
    assert part.total == expected
    part.total.backward()
    assert student.grad is not None
    assert torch.equal(student.grad != 0, VALID)


def test_the_teacher_has_no_gradient() -> None:
    teacher = chunks(1).requires_grad_()
    assert not alm(teacher, chunks(2), VALID).total.requires_grad


def test_half_precision_is_computed_in_single() -> None:
    teacher, student = chunks(1, torch.bfloat16), chunks(2, torch.bfloat16)
    part = alm(teacher, student, VALID)
    assert part.total.dtype == torch.float32
    assert part.total == alm(teacher.float(), student.float(), VALID).total


def test_log1mexp_keeps_its_digits_near_zero_and_far_from_it() -> None:
    values = [-1e-30, -1e-10, -0.1, -0.7, -5.0, -50.0, -100.0]
    logs = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    found = log1mexp(logs)
    expected = [math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x)) for x in values]
    assert found.tolist() == pytest.approx(expected, rel=1e-14)
    found.sum().backward()
    assert logs.grad is not None
    assert logs.grad.tolist() == pytest.approx(
        [math.exp(x) / math.expm1(x) for x in values], rel=1e-12
    )


@pytest.mark.parametrize(("tau", "divergence"), [(0.0, "kl"), (math.nan, "kl"), (5.0, "jsd")])
def test_what_makes_no_sense_is_refused(tau: float, divergence: str) -> None:
    with pytest.raises(UsageError):
        alm(chunks(1), chunks(2), VALID, tau, divergence)
