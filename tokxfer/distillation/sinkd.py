"""SinKD: what it costs to carry the student's distributions at some positions to the teacher's.

    D_ij = Σ_v |q_i(v) − p_j(v)|                    student's position i, teacher's position j
    K = exp(−D / ε); rows and columns of K are scaled to sum to one, in turn, some times: P
    L = Σ_ij P_ij D_ij

p and q are softmaxes over a temperature. Every position is compared with all of its group, not only
with itself, so the shape of the whole group counts. It differs from an optimal transport by ε and
by the finite number of scalings, and from zero at equality likewise. Source: Cui et al.,
2402.17110, with the constants of its code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.distillation.divergences import log_softmax
from tokxfer.distillation.logitrows import Rows, over_rows
from tokxfer.distillation.part import Part
from tokxfer.shapes import Float


def transport(
    cost: Float[Tensor, "left right"], epsilon: float, iterations: int
) -> Float[Tensor, "left right"]:
    """Scale exp(−cost/ε) to rows and columns that sum to one, columns last.

    Args:
        cost: Of carrying each on the left to each on the right, as many on either side.
        epsilon: The larger, the more evenly everything is spread; in the unit of costs.
        iterations: Times that rows and columns are scaled.
    """
    plan = -cost / epsilon
    for _ in range(iterations):
        plan = plan - plan.logsumexp(1, keepdim=True)
        plan = plan - plan.logsumexp(0, keepdim=True)
    return plan.exp()


def sinkd(
    student: Rows,
    teacher: Rows,
    *,
    group: int = 64,
    temperature: float = 2.0,
    epsilon: float = 0.1,
    iterations: int = 20,
    size: int | None = None,
) -> Part:
    """Sum the cost of carrying over groups of positions of two models with one vocabulary.

    Args:
        student: What the student's head reads at each position.
        teacher: The same of the teacher, position by position.
        group: Positions that are carried together, neighbours in order; the last may be fewer. A
            group's logits are there at once.
        temperature: Divides the logits of both.
        epsilon: See `transport`; distances are at most 2.
        iterations: See `transport`. Gradients go through all of them.
        size: Ids of the tokenizer, where a head has further rows.

    Returns:
        The sum, at most 2 for each position, and how many positions there are. Unlike other
        objectives, it depends on which positions come together.

    Raises:
        ValueError: The heads are of different sizes, and `size` is not given.
    """
    sizes = len(student.head.weight), len(teacher.head.weight)
    if size is None and sizes[0] != sizes[1]:
        raise ValueError(f"heads of {sizes[0]} and {sizes[1]} rows are not of one vocabulary")

    def loss(mine: Tensor, theirs: Tensor) -> Tensor:
        sides = [log_softmax(each, temperature, size).exp() for each in (mine, theirs)]
        cost = torch.cdist(sides[0], sides[1], p=1.0)
        return (transport(cost, epsilon, iterations) * cost).sum(1)

    return Part(over_rows(loss, student, teacher, rows=group), len(student.hidden))
