"""Divergences over one vocabulary, against their definitions in loops."""

from __future__ import annotations

import math

import pytest
import torch

from tests.distillation.sides import check_gradients, of_logits, side, slope_of_logits
from tokxfer.distillation.divergences import DIVERGENCES, divergence, same_vocabulary
from tokxfer.distillation.logitrows import Head, Rows

SHARE = {"beta": 0.3, "alpha": 0.2}


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(each / temperature) for each in logits]
    return [each / sum(powers) for each in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def oracle(kind: str, p: list[float], q: list[float]) -> float:
    """The definition, p the teacher's and q the student's."""

    def mean(share: float) -> list[float]:
        return [share * a + (1 - share) * b for a, b in zip(p, q, strict=True)]

    beta, alpha = SHARE["beta"], SHARE["alpha"]
    return {
        "kl": lambda: kl(p, q),
        "reverse-kl": lambda: kl(q, p),
        "jsd": lambda: beta * kl(p, mean(beta)) + (1 - beta) * kl(q, mean(beta)),
        "skew-kl": lambda: kl(p, mean(alpha)),
        "skew-reverse-kl": lambda: kl(q, mean(1 - alpha)),
    }[kind]()


@pytest.mark.parametrize("kind", DIVERGENCES)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sums_are_those_of_the_definition(kind: str, temperature: float) -> None:
    student, teacher = side(5, 7, 0), side(5, 7, 1)
    part = same_vocabulary(
        student, teacher, divergence(kind, **SHARE), temperature=temperature, rows=2
    )
    expected = 0.0
    for mine, theirs in zip(student.logits().tolist(), teacher.logits().tolist(), strict=True):
        expected += oracle(kind, softmax(theirs, temperature), softmax(mine, temperature))
    torch.testing.assert_close(part.total, torch.tensor(expected, dtype=torch.float64))
    assert part.count == 5


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_it_is_zero_and_flat_where_the_student_is_the_teacher_and_nowhere_else(kind: str) -> None:
    measure, logits = divergence(kind, **SHARE), torch.randn(4, 9, dtype=torch.float64)
    same = same_vocabulary(of_logits(logits), of_logits(logits), measure)
    assert abs(float(same.total)) < 1e-12
    slope = slope_of_logits(lambda me: same_vocabulary(me, of_logits(logits), measure), logits)
    assert float(slope.abs().max()) < 1e-12
    other = logits.clone()
    other[0, 0] += 1.0
    assert float(same_vocabulary(of_logits(other), of_logits(logits), measure).total) > 1e-3


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    measure, teacher = divergence(kind, **SHARE), side(3, 6, 1)
    assert check_gradients(
        lambda student: same_vocabulary(student, teacher, measure, temperature=1.5, rows=2),
        side(3, 6, 0),
    )


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_the_ends_of_jsd_are_the_two_kls_which_it_tends_to_over_its_share(beta: float) -> None:
    student, teacher = side(3, 6, 0), side(3, 6, 1)

    def total(kind: str, share: float = 0.5) -> torch.Tensor:
        return same_vocabulary(student, teacher, divergence(kind, beta=share)).total

    end = total("jsd", beta)
    torch.testing.assert_close(end, total("reverse-kl" if beta else "kl"))
    near = total("jsd", abs(beta - 1e-6)) / 1e-6
    torch.testing.assert_close(near, end, rtol=1e-4, atol=0.0)


def test_rows_of_a_head_that_no_token_has_are_left_out() -> None:
    """Heads are padded to different sizes, and a padding row must not take the student's mass."""
    student, teacher = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, 6).double()
    measure = divergence("kl")
    cut = same_vocabulary(of_logits(student), of_logits(teacher), measure, size=5)
    small = same_vocabulary(of_logits(student[:, :5]), of_logits(teacher[:, :5]), measure)
    torch.testing.assert_close(cut.total, small.total)
    with pytest.raises(ValueError, match="heads of 8 and 6 rows"):
        same_vocabulary(of_logits(student), of_logits(teacher), measure)
    with pytest.raises(ValueError, match="7 ids are more than the 6 rows"):
        same_vocabulary(of_logits(student), of_logits(teacher), measure, size=7)


def test_a_token_that_the_teacher_forbids_counts_nothing_under_kl() -> None:
    teacher = torch.tensor([[0.0, 1.0, -math.inf]], dtype=torch.float64)
    student = torch.tensor([[0.0, 1.0, -2.0]], dtype=torch.float64)

    forbidden = Rows(torch.zeros(1, 1).double(), Head(torch.zeros(3, 1).double(), teacher[0]))
    part = same_vocabulary(of_logits(student), forbidden, divergence("kl"))
    expected = kl(softmax([0.0, 1.0], 1.0), softmax([0.0, 1.0, -2.0], 1.0)[:2])
    torch.testing.assert_close(part.total, torch.tensor(expected).double())


def test_half_precision_is_compared_in_single() -> None:
    sides = [side(4, 9, seed, dtype=torch.bfloat16) for seed in (0, 1)]
    part = same_vocabulary(*sides, divergence("kl"))
    wide = [side(4, 9, seed, dtype=torch.bfloat16).logits().double() for seed in (0, 1)]
    exact = same_vocabulary(*map(of_logits, wide), divergence("kl"))
    assert part.total.dtype == torch.float32
    torch.testing.assert_close(part.total.double(), exact.total, rtol=1e-5, atol=1e-6)


def test_names_and_shares_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be 'forward'; there are kl, reverse-kl"):
        divergence("forward")
    with pytest.raises(ValueError, match=r"beta is 1\.5"):
        divergence("jsd", beta=1.5)
    with pytest.raises(ValueError, match="alpha is 0"):
        divergence("skew-kl", alpha=0.0)
