"""The hidden-state term is squared error in the teacher's own units, channel by channel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tokxfer.distillation.hidden import Projector, channel_squares, hidden_states

VALID = torch.tensor([[True, True, False], [True, False, False]])


def states(seed: int, width: int = 4) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, width, generator=source, dtype=torch.float64)


def test_the_sum_is_that_of_a_loop() -> None:
    teacher, student = states(1) * torch.tensor([1.0, 100.0, 0.01, 5.0]), states(2)
    scale = channel_squares(teacher, VALID).mean
    total = 0.0
    places = VALID.nonzero().tolist()
    for channel in range(4):
        square = sum(float(teacher[row, at, channel]) ** 2 for row, at in places) / 3
        assert float(scale[channel]) == pytest.approx(square)
        for row, at in places:
            error = float(teacher[row, at, channel] - student[row, at, channel])
            total += error**2 / square / 4
    part = hidden_states(teacher, student, VALID, scale)
    assert part.total.item() == pytest.approx(total)
    assert part.count == 3


def test_a_student_that_holds_nothing_has_a_loss_of_one() -> None:
    """Whatever the size of the teacher's channels."""
    teacher = states(1) * 10.0 ** torch.arange(-2, 2)
    scale = channel_squares(teacher, VALID).mean
    part = hidden_states(teacher, torch.zeros_like(teacher), VALID, scale)
    assert part.mean.item() == pytest.approx(1.0)


def test_a_step_does_not_depend_on_how_it_is_cut() -> None:
    teacher, student = states(1), states(2)
    rows = [channel_squares(teacher[row], VALID[row]) for row in (slice(0, 1), slice(1, 2))]
    torch.testing.assert_close(sum(rows).mean, channel_squares(teacher, VALID).mean)
    scale = channel_squares(teacher, VALID).mean
    halves = [
        hidden_states(teacher[row], student[row], VALID[row], scale)
        for row in (slice(0, 1), slice(1, 2))
    ]
    torch.testing.assert_close(sum(halves).mean, hidden_states(teacher, student, VALID, scale).mean)


def test_gradients_reach_the_student_and_the_projector_alone() -> None:
    teacher, student = states(1).requires_grad_(), states(2, 3).requires_grad_()
    projector, scale = Projector(3, 4).double(), torch.rand(4, dtype=torch.float64) + 1
    assert torch.autograd.gradcheck(
        lambda held: hidden_states(teacher, held, VALID, scale, projector).total, student
    )
    hidden_states(teacher, student, VALID, scale, projector).total.backward()
    assert teacher.grad is None
    assert projector.weight.grad is not None
    assert student.grad is not None
    assert torch.equal(student.grad.abs().sum(2) > 0, VALID)


def test_places_without_a_chunk_may_hold_anything() -> None:
    teacher, student, scale = states(1), states(2), torch.ones(4, dtype=torch.float64)
    expected = hidden_states(teacher, student, VALID, scale).total
    outside = ~VALID.unsqueeze(2)
    student = student.masked_fill(outside, torch.nan).requires_grad_()
    teacher = teacher.masked_fill(outside, torch.inf)
    part = hidden_states(teacher, student, VALID, scale)
    assert part.total == expected
    assert torch.equal(
        channel_squares(teacher, VALID).total, channel_squares(states(1), VALID).total
    )
    part.total.backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


def test_a_channel_that_is_always_zero_divides_by_nothing() -> None:
    teacher = states(1) * torch.tensor([1.0, 0.0, 1.0, 1.0])
    scale = channel_squares(teacher, VALID).mean
    assert hidden_states(teacher, teacher, VALID, scale).total == 0
    assert hidden_states(teacher, states(2), VALID, scale).total.isfinite()


@pytest.mark.parametrize(("student", "teacher"), [(3, 5), (5, 3), (4, 4)])
def test_a_projector_begins_orthonormal_and_the_same_each_time(student: int, teacher: int) -> None:
    weight = Projector(student, teacher).weight.detach()
    narrow = weight if teacher <= student else weight.T
    torch.testing.assert_close(narrow @ narrow.T, torch.eye(min(student, teacher)))
    before = torch.get_rng_state()
    assert torch.equal(Projector(student, teacher).weight, weight)
    assert not torch.equal(Projector(student, teacher, seed=1).weight, weight)
    assert torch.equal(torch.get_rng_state(), before)
