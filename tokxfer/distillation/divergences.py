"""Divergences of two distributions over one vocabulary, one number for each row of logits.

With p the teacher's distribution and q the student's, both softmaxes of logits over a temperature:

    kl               KL(p ‖ q)
    reverse-kl       KL(q ‖ p)
    jsd              β KL(p ‖ m) + (1−β) KL(q ‖ m), m = β p + (1−β) q
    skew-kl          KL(p ‖ α p + (1−α) q)
    skew-reverse-kl  KL(q ‖ (1−α) p + α q)

Sources: Agarwal et al., 2306.13649 (the third); Ko et al., 2402.03898 (the skew ones). No factor of
the squared temperature is put on.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p

import torch
from torch import Tensor

from tokxfer.distillation.logitrows import Rows, over_rows
from tokxfer.distillation.part import Part
from tokxfer.shapes import Float

# [rows] of the student's and the teacher's log-probabilities [rows, vocab].
Divergence = Callable[[Tensor, Tensor], Tensor]
DIVERGENCES = ("kl", "reverse-kl", "jsd", "skew-kl", "skew-reverse-kl")


def relative_entropy(
    log_p: Float[Tensor, "rows vocab"], log_q: Float[Tensor, "rows vocab"]
) -> Float[Tensor, " rows"]:
    """Σ p (log p − log q), in nats; tokens that are impossible under p count nothing."""
    gap = (log_p - log_q).masked_fill(log_p == -torch.inf, 0.0)
    return (log_p.exp() * gap).sum(-1)


def mixed(
    log_p: Float[Tensor, "rows vocab"], log_q: Float[Tensor, "rows vocab"], share: float
) -> Float[Tensor, "rows vocab"]:
    """The logarithm of share·p + (1−share)·q, share strictly between 0 and 1."""
    return torch.logaddexp(log_p + log(share), log_q + log1p(-share))


def jensen_shannon(
    student: Float[Tensor, "rows vocab"], teacher: Float[Tensor, "rows vocab"], beta: float
) -> Float[Tensor, " rows"]:
    """The generalized divergence of log-probabilities, which need not sum to one.

    At β = 0 and 1 it is 0. The convention, here too, is to mean KL(p ‖ q) and KL(q ‖ p) by them,
    which it tends to when divided by β or 1−β.
    """
    if beta == 0.0:
        return relative_entropy(teacher, student)
    if beta == 1.0:
        return relative_entropy(student, teacher)
    middle = mixed(teacher, student, beta)
    theirs, mine = relative_entropy(teacher, middle), relative_entropy(student, middle)
    return beta * theirs + (1 - beta) * mine


def divergence(kind: str = "kl", *, beta: float = 0.5, alpha: float = 0.1) -> Divergence:
    """A divergence of log-probabilities by its name.

    Args:
        kind: One of `DIVERGENCES`.
        beta: The teacher's share in the middle of `jsd`, from 0 to 1.
        alpha: How much of its own first argument the second one of a skew divergence holds,
            strictly between 0 and 1.

    Raises:
        ValueError: There is no such divergence, or a share is out of its range.
    """
    if kind not in DIVERGENCES:
        raise ValueError(f"a divergence cannot be {kind!r}; there are {', '.join(DIVERGENCES)}")
    if kind == "jsd" and not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta is {beta}, but lies from 0 to 1")
    if kind.startswith("skew") and not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}, but lies between 0 and 1")

    def found(student: Tensor, teacher: Tensor) -> Tensor:
        if kind == "kl":
            return relative_entropy(teacher, student)
        if kind == "reverse-kl":
            return relative_entropy(student, teacher)
        if kind == "jsd":
            return jensen_shannon(student, teacher, beta)
        if kind == "skew-kl":
            return relative_entropy(teacher, mixed(teacher, student, alpha))
        return relative_entropy(student, mixed(student, teacher, alpha))

    return found


def log_softmax(
    logits: Float[Tensor, "rows vocab"], temperature: float = 1.0, size: int | None = None
) -> Float[Tensor, "rows ids"]:
    """Log-probabilities in at least single precision, of the first `size` ids if given."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits[:, :size].to(wide) / temperature, dim=-1)


def same_vocabulary(
    student: Rows,
    teacher: Rows,
    measure: Divergence,
    *,
    temperature: float = 1.0,
    size: int | None = None,
    rows: int | None = None,
) -> Part:
    """Sum a divergence over positions of two models with one vocabulary.

    Args:
        student: What the student's head reads at each position.
        teacher: The same of the teacher, position by position.
        measure: What `divergence` returns.
        temperature: Divides the logits of both.
        size: Ids of the tokenizer, where a head has further rows; needed where both differ.
        rows: Rows of a block, or None for what fits.

    Returns:
        Nats, and how many positions they are of.

    Raises:
        ValueError: The heads are of different sizes, or smaller than the tokenizer.
    """
    sizes = len(student.head.weight), len(teacher.head.weight)
    if size is None and sizes[0] != sizes[1]:
        raise ValueError(f"heads of {sizes[0]} and {sizes[1]} rows are not of one vocabulary")
    if size is not None and size > min(sizes):
        raise ValueError(f"{size} ids are more than the {min(sizes)} rows of a head")

    def loss(mine: Tensor, theirs: Tensor) -> Tensor:
        return measure(log_softmax(mine, temperature, size), log_softmax(theirs, temperature, size))

    return Part(over_rows(loss, student, teacher, rows=rows), len(student.hidden))
