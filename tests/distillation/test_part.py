"""Parts of a step add up to the step."""

from __future__ import annotations

import pytest
import torch

from tokxfer.distillation.part import Part


def test_means_of_a_step_do_not_depend_on_how_it_is_cut() -> None:
    losses, cuts = torch.tensor([1.0, 2.0, 4.0, 9.0]), ([4], [1, 3], [2, 2], [1, 1, 1, 1])
    for cut in cuts:
        step = sum(Part(part.sum(), len(part)) for part in losses.split(cut))
        assert isinstance(step, Part)
        assert step.mean == 4.0


def test_counts_may_stay_on_the_device() -> None:
    step = Part(torch.tensor(6.0), torch.tensor(2)) + Part(torch.tensor(3.0), 1)
    assert isinstance(step.count, torch.Tensor)
    assert step.mean == 3.0


def test_the_mean_of_nothing_is_zero() -> None:
    half = torch.ones(2, dtype=torch.bfloat16)
    for nothing in (Part.nothing(half), Part(torch.tensor(0.0), torch.tensor(0))):
        assert nothing.mean == 0.0
        assert nothing.total.dtype == torch.float32


def test_only_a_sum_may_begin_with_something_else() -> None:
    with pytest.raises(TypeError):
        1 + Part(torch.tensor(1.0), 1)


def test_gradients_come_through_sums_and_not_behind_detach() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    step = Part(value * 2, 1) + Part(value, 1)
    step.mean.backward()
    assert value.grad == 1.5
    assert not step.detach().total.requires_grad
