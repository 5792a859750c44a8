"""`procrustes`: a rotation and a scale from donor rows to base rows, fitted on shared tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from tokxfer.embeddings.learning import (
    base_rows_of_anchors,
    donor_rows_of,
    outside_rows,
    with_pieces_for_distrusted,
)
from tokxfer.embeddings.mean import outside_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.shapes import Float


@dataclass(frozen=True)
class Procrustes:
    """y = b̄ + s (x - ā) Q, with Q as near to a rotation as the two widths allow.

    Q [donor dim, dim] has orthonormal rows or columns, whichever are fewer, and maximizes the
    correlation with the base's rows of the anchors; s is the least squares scale. The rows leave
    the span of existing rows, so that a head's bias gets its mean for new tokens.

    Source: Schönemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
    """

    name: ClassVar[str] = "procrustes"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})

    def solve(self, problem: Problem) -> Solution:
        """Rotate the missing rows, and take pieces for those distrusted."""
        targets, atoms = (rows.float() for rows in donor_rows_of(problem))
        learned, scale = rotate(targets, atoms, base_rows_of_anchors(problem))
        whole = with_pieces_for_distrusted(problem, outside_map(problem, len(targets)))
        details = {"scale": scale, "distrusted": int(problem.distrusted.sum())}
        return Solution(whole, outside_rows(problem, learned), details)


def rotate(
    targets: Float[torch.Tensor, "targets donor_dim"],
    atoms: Float[torch.Tensor, "atoms donor_dim"],
    sources: Float[torch.Tensor, "atoms dim"],
) -> tuple[Float[torch.Tensor, "targets dim"], float]:
    """Images of the targets under the best rotation and scale of atoms to sources; the scale."""
    centre, mean = atoms.double().mean(dim=0), sources.double().mean(dim=0)
    before, after = atoms.double() - centre, sources.double() - mean
    left, _, right = torch.linalg.svd(before.mT @ after, full_matrices=False)
    turn = left @ right
    turned = before @ turn
    scale = float((turned * after).sum() / turned.square().sum().clamp_min(1e-300))
    return (mean + scale * (targets.double() - centre) @ turn).float(), scale
