"""Supervised fine-tuning: the cross-entropy of the text itself."""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.distillation.part import Part
from tokxfer.shapes import Bool, Float


def sft(log_probs: Float[Tensor, " *tokens"], trained: Bool[Tensor, " *tokens"]) -> Part:
    """Sum the nats of trained tokens.

    Args:
        log_probs: The student's log-probability of each token, given those before it.
        trained: Which of them are targets; what stands elsewhere is not looked at.

    Returns:
        Nats, and how many tokens they are of.
    """
    wide = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
    return Part(-wide.where(trained, wide.new_zeros(())).sum(), trained.sum())
