"""GOLD's hybrid: a divergence of the tokens that both sides have, a sorted distance of the rest.

Of every chunk each side has one row over its vocabulary,

    r(v) = p(x₁, …, x_{n−1} | before) · p(v | before, x₁, …, x_{n−1})

x₁ … x_n being the chunk's own tokens: the distribution at its last token, times the probability of
those that come earlier. That is the chain rule, so r(x_n) is the chunk's probability. With M the
pairs of matched ids,

    L = w_M · JSD_β(r_S|M, r_T|M) + w_R · Σ_k |r_S,(k) − r_T,(k)|       (k over the ids in no pair)

and β = 0 means KL(r_T ‖ r_S), as published. Source: Patiño et al., "Unlocking on-policy
distillation for any model family" (GOLD, 2025); here tokens match by their bytes, not spellings.

What is matched alone does not sum to one. Under KL every token in no pair is pushed down then, by
its probability times the teacher's mass on the matched ones, whatever the teacher thinks of it
(2605.21699). `bucket` counts the rest's mass as one outcome more, which cures it.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from tokxfer.distillation.divergences import jensen_shannon, log_softmax
from tokxfer.distillation.logitrows import Rows, over_rows
from tokxfer.distillation.matching import Matching
from tokxfer.distillation.part import Part
from tokxfer.distillation.uld import sorted_distance
from tokxfer.shapes import Float


def gold(
    student: Rows,
    teacher: Rows,
    matching: Matching,
    *,
    student_before: Float[Tensor, " rows"],
    teacher_before: Float[Tensor, " rows"],
    beta: float = 0.5,
    weights: tuple[float, float] | None = None,
    floor: float = 1e-8,
    bucket: bool = False,
    rows: int | None = None,
) -> Part:
    """Sum the hybrid loss over chunks.

    Args:
        student: What the student's head reads before the last token of each chunk.
        teacher: The same of the teacher.
        matching: Pairs of ids, and the ids in none.
        student_before: The student's log-probability of each chunk's `earlier` tokens, 0 where the
            last one is the only one. It carries gradients.
        teacher_before: The same of the teacher.
        beta: The teacher's share in the middle of the divergence: 0.5, as published.
        weights: Of the matched and of the rest; None, as published, is the share of the teacher's
            ids that are matched, and what is left of one.
        floor: Matched probabilities below it count as it, and have no gradient; 0 for none.
        bucket: Whether the mass of the rest is one more outcome of the divergence.
        rows: Chunks of a block, or None for what fits.

    Returns:
        The sum, and how many chunks it is of.

    Raises:
        ValueError: The matching is of other heads, or beta is not from 0 to 1.
    """
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta is {beta}, but lies from 0 to 1")
    for side, paired, rest in (
        (student, matching.student, matching.student_rest),
        (teacher, matching.teacher, matching.teacher_rest),
    ):
        if len(side.head.weight) != len(paired) + len(rest):
            found = len(side.head.weight)
            raise ValueError(f"a head of {found} rows, matched as of {len(paired) + len(rest)}")
    share, others = weights or (matching.share, 1.0 - matching.share)
    matching = matching.to(student.hidden.device)
    least = log(floor) if floor else -torch.inf

    def loss(mine: Tensor, theirs: Tensor, before: Tensor, their_before: Tensor) -> Tensor:
        mine = log_softmax(mine) + before.unsqueeze(1)
        theirs = log_softmax(theirs) + their_before.unsqueeze(1)
        matched = [mine[:, matching.student], theirs[:, matching.teacher]]
        rest = [mine[:, matching.student_rest], theirs[:, matching.teacher_rest]]
        if bucket:
            masses = [side.logsumexp(1, keepdim=True) for side in rest]
            matched = [torch.cat(both, 1) for both in zip(matched, masses, strict=True)]
        found = others * sorted_distance(rest[0].exp(), rest[1].exp())
        first, second = (side.clamp(min=least) for side in matched)
        return found + share * jensen_shannon(first, second, beta)

    along = (student_before, teacher_before.detach())
    return Part(over_rows(loss, student, teacher, *along, rows=rows), len(student.hidden))
