"""`knn`: a missing token is interpolated between the shared tokens nearest to it in the donor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from tokxfer.embeddings.learning import donor_rows_of, with_pieces_for_distrusted
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.errors import UsageError
from tokxfer.shapes import Float, Int
from tokxfer.sparse import solve_support
from tokxfer.vocabulary import Origin, VocabularyMap

SCHEMES = ("distance", "barycentric", "least-squares")
REGULARIZATION = 1e-3
BATCH = 512  # targets solved at a time


@dataclass(frozen=True)
class Neighbours:
    """k nearest shared tokens by Euclidean distance in the donor, combined in the base.

    Args:
        k: Neighbours, at most as many as there are anchors.
        weights: "distance" (in proportion to 1 / distance), "barycentric" (the least squares
            combination of the neighbours that sums to one), or "least-squares" (any sum).

    Raises:
        UsageError: k is below 1, or there are no such weights.

    Source: mergekit's `common_interpolation` has the same three schemes; barycentric weights are
    those of locally linear embedding (Roweis and Saul, 2000).
    """

    name: ClassVar[str] = "knn"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})
    k: int = 16
    weights: str = "barycentric"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"k is {self.k}; at least one neighbour is needed.", "Use -k 16.")
        if self.weights not in SCHEMES:
            raise UsageError(
                f"There are no weights {self.weights!r}.", f"Use {', '.join(SCHEMES)}."
            )

    def solve(self, problem: Problem) -> Solution:
        """Interpolate the missing rows, and take pieces for those distrusted."""
        targets, atoms = (rows.float() for rows in donor_rows_of(problem))
        k = min(self.k, len(atoms))
        distances, support = nearest(targets, atoms, k)
        if self.weights == "distance":
            weights = 1 / distances.clamp_min(1e-12 * float(atoms.norm(dim=1).mean()) + 1e-30)
            weights = weights / weights.sum(dim=1, keepdim=True)
        elif self.weights == "barycentric":
            weights = barycentric(targets, atoms, support)
        else:
            weights = solve_support(
                targets,
                atoms,
                support,
                ridge=REGULARIZATION,
                memory_budget=problem.memory_budget,
            )
        count = len(targets)
        learned = VocabularyMap(
            source_size=len(problem.base_rows),
            indptr=np.arange(count + 1) * k,
            indices=problem.sources[problem.anchors][support.cpu().numpy()].ravel(),
            weights=weights.cpu().numpy().astype(np.float32).ravel(),
            origins=np.full(count, Origin.NEIGHBOURS, dtype=np.uint8),
        )
        details = {"k": k, "distrusted": int(problem.distrusted.sum())}
        return Solution(with_pieces_for_distrusted(problem, learned), details=details)


def nearest(
    targets: Float[torch.Tensor, "targets dim"], atoms: Float[torch.Tensor, "atoms dim"], k: int
) -> tuple[Float[torch.Tensor, "targets k"], Int[torch.Tensor, "targets k"]]:
    """Distances and places of the k atoms nearest to each target, nearest first."""
    if len(targets) == 0:
        return targets.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64, device=targets.device)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(atoms.cpu().numpy())
    distances, support = search.kneighbors(targets.cpu().numpy())
    device = targets.device
    return torch.from_numpy(distances).float().to(device), torch.from_numpy(support).to(device)


def barycentric(
    targets: Float[torch.Tensor, "targets dim"],
    atoms: Float[torch.Tensor, "atoms dim"],
    support: Int[torch.Tensor, "targets k"],
) -> Float[torch.Tensor, "targets k"]:
    """Weights that sum to one and minimize |x - Σ w a|² + ridge |w|², in float64.

    The ridge is `REGULARIZATION` times the mean squared distance to the neighbours: k neighbours
    in fewer than k dimensions have no one answer.
    """
    found = torch.empty(support.shape, device=targets.device)
    for start in range(0, len(targets), BATCH):
        part = slice(start, start + BATCH)
        offsets = (atoms[support[part]] - targets[part, None, :]).double()
        gram = offsets @ offsets.mT
        ridge = REGULARIZATION * gram.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-300
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        weights = torch.linalg.solve(gram, torch.ones_like(gram[:, :, :1]))[:, :, 0]
        found[part] = (weights / weights.sum(dim=1, keepdim=True)).float()
    return found
