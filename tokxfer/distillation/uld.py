"""Universal Logit Distillation: two distributions by their sorted probabilities alone.

    L = Σ_positions Σ_k |s_(k) − t_(k)|

s_(k) and t_(k) are the k-th largest probabilities of student and teacher, 0 behind the smaller
vocabulary's end: the Wasserstein distance when every move between tokens costs the same. Which
token has a probability plays no part. Source: Boizard et al., 2402.12030.

Positions are for the caller to choose. The paper compares the k-th target with the k-th
(`kth_tokens`), whatever they say; at the first tokens of chunks (`first_tokens`) both models have
read the same text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.distillation.divergences import log_softmax
from tokxfer.distillation.logitrows import Rows, over_rows
from tokxfer.distillation.part import Part
from tokxfer.shapes import Float


def sorted_distance(
    student: Float[Tensor, "rows student_vocab"], teacher: Float[Tensor, "rows teacher_vocab"]
) -> Float[Tensor, " rows"]:
    """Sum |s_(k) − t_(k)| over k, of probabilities that need not sum to one."""
    mine = student.sort(dim=-1, descending=True).values
    theirs = teacher.sort(dim=-1, descending=True).values
    common = min(mine.shape[-1], theirs.shape[-1])
    found = (mine[:, :common] - theirs[:, :common]).abs().sum(-1)
    return found + mine[:, common:].sum(-1) + theirs[:, common:].sum(-1)


def uld(
    student: Rows,
    teacher: Rows,
    *,
    temperatures: tuple[float, float] = (1.0, 1.0),
    before: tuple[Tensor, Tensor] | None = None,
    rows: int | None = None,
) -> Part:
    """Sum the sorted distance over positions.

    Args:
        student: What the student's head reads at each position.
        teacher: The same of the teacher, position by position.
        temperatures: Divide the logits of student and teacher.
        before: Log-probabilities [rows] that each row is multiplied with on either side, student
            and teacher: those of a chunk's `earlier` tokens, for rows that predict its last one.
        rows: Rows of a block, or None for what fits.

    Returns:
        The sum, at most 2 for each position, and how many positions there are.
    """

    def loss(mine: Tensor, theirs: Tensor, *along: Tensor) -> Tensor:
        sides = [log_softmax(mine, temperatures[0]), log_softmax(theirs, temperatures[1])]
        if along:
            sides = [side + each.unsqueeze(1) for side, each in zip(sides, along, strict=True)]
        return sorted_distance(torch.exp(sides[0]), torch.exp(sides[1]))

    along = () if before is None else (before[0], before[1].detach())
    return Part(over_rows(loss, student, teacher, *along, rows=rows), len(student.hidden))
