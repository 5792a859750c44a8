"""The cross-entropy of trained tokens."""

from __future__ import annotations

import math

import torch

from tokxfer.distillation.part import Part
from tokxfer.distillation.sft import sft


def test_the_sum_is_that_of_a_loop_over_trained_tokens() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.1], [0.2, 1.0, 0.3]], dtype=torch.float64)
    trained = torch.tensor([[False, True, True], [True, True, False]])
    part = sft(probabilities.log(), trained)
    expected = sum(
        -math.log(float(p))
        for p, wanted in zip(probabilities.flatten(), trained.flatten(), strict=True)
        if wanted
    )
    torch.testing.assert_close(part.total, torch.tensor(expected, dtype=torch.float64))
    assert part.count == 4


def test_what_stands_at_other_tokens_may_be_anything() -> None:
    values = torch.tensor([-1.0, math.nan, -math.inf], requires_grad=True)
    part = sft(values, torch.tensor([True, False, False]))
    part.total.backward()
    assert part.total == 1.0
    assert values.grad is not None
    assert values.grad.tolist() == [-1.0, 0.0, 0.0]


def test_half_precision_is_summed_in_single() -> None:
    """256 + 1 is 256 in bfloat16."""
    values = torch.tensor([-256.0, -1.0], dtype=torch.bfloat16)
    assert sft(values, torch.ones(2, dtype=torch.bool)).total == 257.0


def test_a_step_cut_into_micro_batches_is_the_same_step() -> None:
    """A loss of means is multiplied by the number of micro-batches, or weights them wrongly."""
    values, trained = -torch.rand(4, 5, dtype=torch.float64), torch.rand(4, 5) < 0.5
    whole = sft(values, trained).mean
    for rows in (1, 2):
        step = sum(map(sft, values.split(rows), trained.split(rows)))
        assert isinstance(step, Part)
        torch.testing.assert_close(step.mean, whole)
