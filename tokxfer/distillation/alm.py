"""Approximate likelihood matching: a chunk comes, or it does not, as likely as the teacher says.

Source: Minixhofer, Ponti, Vulić, "Cross-Tokenizer Distillation via Approximate Likelihood Matching"
(2503.20083), equations 4 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tokxfer.distillation.part import Part
from tokxfer.errors import UsageError
from tokxfer.shapes import Bool, Float

TAU = 5.0  # of 1, 5, 100 and infinity the best in the paper's ablation

Divergence = Callable[[Tensor, Tensor], Tensor]


def alm(
    teacher: Float[Tensor, "batch chunks"],
    student: Float[Tensor, "batch chunks"],
    valid: Bool[Tensor, "batch chunks"],
    tau: float = TAU,
    divergence: str = "kl",
) -> Part:
    """Sum, over chunks, a divergence of the two outcomes p^(1/tau) and 1 − p^(1/tau).

    Gradients grow like 1/tau. With tau = infinity, tau times the divergence in that limit is
    summed, which is in nats of the chunks themselves.

    Args:
        teacher: Log-probability of each chunk, see `merging.outcomes`.
        student: The same; alone has a gradient.
        valid: Which places hold a chunk; the others are not looked at.
        tau: How much small probabilities are raised, `inf` for the limit.
        divergence: `kl`, `cross_entropy` (kl plus the teacher's entropy: the same gradient),
            `reverse_kl` or `tv` (total variation).

    Raises:
        UsageError: There is no such divergence, or tau is not positive.
    """
    if divergence not in DIVERGENCES:
        known = ", ".join(DIVERGENCES)
        raise UsageError(f"There is no divergence {divergence!r} of chunks.", f"Known: {known}.")
    if not tau > 0:
        raise UsageError(f"tau is {tau}; it must be positive.")
    dtype = torch.promote_types(student.dtype, torch.float32)
    theirs, ours = (prepared(logs.to(dtype), valid, tau) for logs in (teacher.detach(), student))
    between = (LIMITS if math.isinf(tau) else DIVERGENCES)[divergence]
    return Part(between(theirs, ours).where(valid, 0.0).sum(), valid.sum())


def prepared(logs: Tensor, valid: Tensor, tau: float) -> Tensor:
    """Log-probabilities over tau, kept from 0, where the other outcome is impossible, and from −∞.

    What is taken off is the precision of a probability, so that it is lost in rounding.
    """
    limits = torch.finfo(logs.dtype)
    scaled = logs.where(valid, -1.0) if math.isinf(tau) else logs.where(valid, -1.0) / tau
    return scaled.clamp(min=limits.min / 4, max=0.0) - limits.eps


def log1mexp(logs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 − e^x) for x < 0, to full precision near 0 and far from it, as are its gradients."""
    near = logs > -math.log(2)
    return torch.where(
        near,
        torch.log(-torch.expm1(logs.where(near, -1.0))),
        torch.log1p(-torch.exp(logs.where(~near, -1.0))),
    )


def cross_entropy(theirs: Tensor, ours: Tensor) -> Tensor:
    """−p·log q − (1 − p)·log(1 − q), of log p and log q."""
    return -theirs.exp() * ours + torch.expm1(theirs) * log1mexp(ours)


def kl(theirs: Tensor, ours: Tensor) -> Tensor:
    """p·log(p/q) + (1 − p)·log((1 − p)/(1 − q)), of log p and log q."""
    absent = log1mexp(theirs) - log1mexp(ours)
    return theirs.exp() * (theirs - ours) - torch.expm1(theirs) * absent


def reverse_kl(theirs: Tensor, ours: Tensor) -> Tensor:
    """The divergence of the student from the teacher the other way around."""
    return kl(ours, theirs)


def total_variation(theirs: Tensor, ours: Tensor) -> Tensor:
    """|p − q|: half of what the two outcomes differ by together."""
    return (theirs.exp() - ours.exp()).abs()


def cross_entropy_limit(theirs: Tensor, ours: Tensor) -> Tensor:
    """tau·cross-entropy without −x·log tau, which grows without end; x and y are −log p, −log q."""
    return theirs * torch.log(-ours) - ours


def kl_limit(theirs: Tensor, ours: Tensor) -> Tensor:
    """y − x + x·log(x/y), with x = −log p and y = −log q."""
    return theirs - ours - theirs * (torch.log(-theirs) - torch.log(-ours))


def reverse_kl_limit(theirs: Tensor, ours: Tensor) -> Tensor:
    """`kl_limit` the other way around."""
    return kl_limit(ours, theirs)


def total_variation_limit(theirs: Tensor, ours: Tensor) -> Tensor:
    """|log p − log q|."""
    return (theirs - ours).abs()


DIVERGENCES: dict[str, Divergence] = {
    "kl": kl,
    "cross_entropy": cross_entropy,
    "reverse_kl": reverse_kl,
    "tv": total_variation,
}
LIMITS: dict[str, Divergence] = {
    "kl": kl_limit,
    "cross_entropy": cross_entropy_limit,
    "reverse_kl": reverse_kl_limit,
    "tv": total_variation_limit,
}
