"""TAID against its formulas, step by step."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.distillation.sides import check_gradients, of_logits, side, slope_of_logits
from tokxfer.distillation.divergences import divergence, same_vocabulary
from tokxfer.distillation.taid import Interpolation, between, taid


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(each) for each in logits]
    return [each / sum(powers) for each in powers]


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_sums_are_those_of_the_formula(t: float) -> None:
    student, teacher = side(4, 6, 0), side(4, 6, 1)
    part = same_vocabulary(student, teacher, taid(t), rows=3)
    expected = 0.0
    for mine, theirs in zip(student.logits().tolist(), teacher.logits().tolist(), strict=True):
        target = softmax([(1 - t) * s + t * z for s, z in zip(mine, theirs, strict=True)])
        expected += sum(a * math.log(a / b) for a, b in zip(target, softmax(mine), strict=True))
    torch.testing.assert_close(part.total, torch.tensor(expected).double(), atol=1e-12, rtol=1e-7)
    assert part.count == 4


def test_at_the_end_of_the_way_it_is_the_kl_to_the_teacher() -> None:
    student, teacher = side(4, 6, 0), side(4, 6, 1)
    end = same_vocabulary(student, teacher, taid(1.0))
    torch.testing.assert_close(end.total, same_vocabulary(student, teacher, divergence("kl")).total)


def test_the_target_has_no_gradient_though_the_student_is_in_it() -> None:
    """By the logits it is q − p_t, as of a fixed target: with one through the target it is not."""
    mine, theirs = torch.randn(2, 3, 6, dtype=torch.float64)
    slope = slope_of_logits(lambda me: same_vocabulary(me, of_logits(theirs), taid(0.3)), mine)
    target = (0.7 * mine + 0.3 * theirs).softmax(1)
    torch.testing.assert_close(slope, mine.softmax(1) - target)


def test_gradients_are_those_of_finite_differences_at_the_end() -> None:
    teacher = side(3, 6, 1)
    assert check_gradients(lambda me: same_vocabulary(me, teacher, taid(1.0)), side(3, 6, 0))


def test_chunks_are_interpolated_in_logarithms_without_a_gradient() -> None:
    teacher, student = -torch.rand(2, 2, 3, dtype=torch.float64, requires_grad=True)
    found = between(teacher, student, 0.25)
    expected = student.exp() ** 0.75 * teacher.exp() ** 0.25
    torch.testing.assert_close(found.exp(), expected.detach())
    assert not found.requires_grad


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12), st.floats(0.0, 0.9))
def test_t_follows_its_formulas_and_never_falls(losses: list[float], start: float) -> None:
    way = Interpolation(start, rate=0.3, momentum=0.8)
    t, mean, before = start, 0.0, None
    for n, loss in enumerate(losses):
        if before is not None:
            change = (before - loss) / (before + 1e-15)
            mean = 0.8 * mean + 0.2 * change
            grown = t + 0.3 * (1 - t) / (1 + math.exp(-mean)) if mean > -700 else t
            t = min(1.0, max(start + (1 - start) * n / 12, grown))
        before = loss
        assert way.step(loss, n / 12) == pytest.approx(t)
        assert way.t >= start


def test_t_rises_faster_while_the_loss_falls() -> None:
    ways = [Interpolation(rate=0.1, momentum=0.5) for _ in range(2)]
    for n in range(5):
        ways[0].step(5.0 - n, 0.0)
        ways[1].step(5.0 + n, 0.0)
    assert ways[0].t > ways[1].t > 0.4


def test_t_reaches_its_end_with_the_last_step() -> None:
    way = Interpolation(end=0.9)
    for n in range(1, 11):
        way.step(1.0, n / 10)
    assert way.t == pytest.approx(0.9)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped() -> None:
    losses = [3.0, 2.5, 2.6, 2.0, 1.0, 1.5]
    whole = Interpolation(rate=0.2)
    expected = [whole.step(loss, n / 6) for n, loss in enumerate(losses)]
    first, second = Interpolation(rate=0.2), Interpolation(rate=0.2)
    found = [first.step(loss, n / 6) for n, loss in enumerate(losses[:3])]
    second.restore(json.loads(json.dumps(first.state())))
    found += [second.step(loss, n / 6) for n, loss in enumerate(losses[3:], 3)]
    assert found == expected
    with pytest.raises(KeyError):
        second.restore({"momentum": 1.0})


def test_half_precision_is_compared_in_single() -> None:
    student, teacher = (side(4, 9, seed, dtype=torch.bfloat16) for seed in (0, 1))
    part = same_vocabulary(student, teacher, taid(0.5))
    wide = [of_logits(each.logits().double()) for each in (student, teacher)]
    assert part.total.dtype == torch.float32
    exact = same_vocabulary(*wide, taid(0.5))
    torch.testing.assert_close(part.total.double(), exact.total, rtol=1e-5, atol=1e-6)


def test_ways_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"from 0\.5 to 0\.4"):
        Interpolation(0.5, 0.4)
    with pytest.raises(ValueError, match=r"rate 2\.0"):
        Interpolation(rate=2.0)
