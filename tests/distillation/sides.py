"""What several test modules of this room share: random sides, and gradients of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tokxfer.distillation.logitrows import Head, Rows
from tokxfer.distillation.part import Part


def side(
    rows: int,
    vocab: int,
    seed: int,
    *,
    dtype: torch.dtype = torch.float64,
    scale: float = 1.0,
    softcap: float | None = None,
) -> Rows:
    """Random hidden states and a head of width 4 with a bias."""
    source = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocab, 4, generator=source, dtype=torch.float64)
    bias = torch.randn(vocab, generator=source, dtype=torch.float64)
    hidden = torch.randn(rows, 4, generator=source, dtype=torch.float64)
    return Rows(hidden.to(dtype), Head(weight.to(dtype), bias.to(dtype), scale, softcap))


def of_logits(logits: Tensor) -> Rows:
    """Rows whose logits are these: the head is the identity."""
    return Rows(logits, Head(torch.eye(logits.shape[1], dtype=logits.dtype)))


def slope_of_logits(objective: Callable[[Rows], Part], logits: Tensor) -> Tensor:
    """The gradient of an objective's sum by the student's logits [rows, vocab]."""
    logits = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective(of_logits(logits)).total, logits)
    return slope


def check_gradients(objective: Callable[..., Part], given: Rows, *along: Tensor) -> bool:
    """Compare gradients by hidden states, weight and bias with finite differences, in float64.

    Further tensors are handed to the objective behind the rows.
    """
    assert given.head.bias is not None

    def walked(hidden: Tensor, weight: Tensor, bias: Tensor, *more: Tensor) -> Tensor:
        return objective(Rows(hidden, Head(weight, bias)), *more).total

    leaves = (given.hidden, given.head.weight, given.head.bias, *along)
    return bool(
        torch.autograd.gradcheck(walked, [leaf.clone().requires_grad_() for leaf in leaves])
    )
