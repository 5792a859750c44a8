"""Scores as shares of which many are zero."""

from __future__ import annotations

import torch

from tokxfer.shapes import Float

WORK = 48  # bytes that `sparsemax` takes for each score, the shares included


def sparsemax(scores: Float[torch.Tensor, "rows columns"]) -> Float[torch.Tensor, "rows columns"]:
    r"""Project every row onto the simplex: shares that sum to one, zero for all but the best.

    p = argmin |p - z|² over p ≥ 0, Σ p = 1, which is p_j = max(z_j - τ, 0) with
    τ = (Σ_{j ≤ s} z_(j) - 1) / s, where z_(1) ≥ z_(2) ≥ … and s is the largest number for which
    1 + s z_(s) > Σ_{j ≤ s} z_(j). Sums are made in float64: thousands of scores may count.

    Args:
        scores: Finite numbers, at least one column.

    Returns:
        Shares in the dtype and on the device of `scores`.

    Source: Martins and Astudillo, "From Softmax to Sparsemax" (1602.02068), algorithm 1.

    Example:
        >>> sparsemax(torch.tensor([[1.0, 0.5, -1.0]]))
        tensor([[0.7500, 0.2500, 0.0000]])
    """
    shifted = (scores - scores.amax(dim=1, keepdim=True)).double()
    ordered = shifted.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - 1
    sizes = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    support = (ordered * sizes > excess).sum(dim=1, keepdim=True)
    threshold = excess.gather(1, support - 1) / support
    return (shifted - threshold).clamp_min(0).to(scores.dtype)
