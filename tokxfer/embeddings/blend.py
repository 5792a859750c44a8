"""`blend`: several methods' rows, weighted by how well they make held-out rows together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from tokxfer.embeddings.applying import apply_map, mean_row
from tokxfer.embeddings.heldout import hide, shared_centre
from tokxfer.embeddings.knn import Neighbours
from tokxfer.embeddings.linear import Linear
from tokxfer.embeddings.mean import outside_map
from tokxfer.embeddings.omp import OMP
from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Method, Problem, Solution
from tokxfer.embeddings.subword import Subword
from tokxfer.errors import VocabularyError
from tokxfer.shapes import Float

PARTS: tuple[Method, ...] = (Linear(), Neighbours(), OMP(), Subword())


@dataclass(frozen=True)
class Blend:
    """A weighted sum of what `linear`, `knn`, `omp` and `subword-uniform` make of a token.

    All rows are measured from the base's mean row m. Weights w ≥ 0 are the least squares ones on
    held-out anchors: they make Σ wₚ (yₚ - m) come nearest to b - m, with yₚ what part p makes of a
    hidden token and b its true row. The new row is m + s Σ wₚ (yₚ - m); s is the square root of the
    ratio of true to made lengths, as for `omp`. Tokens whose donor row was hardly trained get the
    mean of their pieces. With too few anchors to hold any out, all tokens do.

    The parts err in different ways, so that their sum errs less; it leaves the span of existing
    rows as `linear` does.
    """

    name: ClassVar[str] = "blend"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})

    def solve(self, problem: Problem) -> Solution:
        """Weigh the parts on hidden tokens, and sum them for the missing ones."""
        pieces = pieces_map(problem, problem.missing.tolist())
        try:
            posed = hide(problem)
        except VocabularyError:
            return Solution(pieces)
        mean = mean_row(problem.base_rows, problem.base)
        ids = torch.from_numpy(problem.sources[posed.missing]).to(mean.device)
        true = problem.base_rows[ids].float() - mean
        tried = [offsets(posed, part, mean) for part in PARTS]
        weights = fitted_weights(tried, true)
        made = sum((w * rows for w, rows in zip(weights, tried, strict=True)), 0 * true)
        lengths = float(made.norm(dim=1).sum())
        scale = (float(true.norm(dim=1).sum()) / lengths) ** 0.5 if lengths > 0 else 1.0
        trusted = np.flatnonzero(~problem.distrusted)
        away = mean - shared_centre(posed)
        details = {
            **{part.name: round(w, 4) for part, w in zip(PARTS, weights, strict=True)},
            "scale": scale,
            "cosine": float(torch.cosine_similarity(scale * made + away, true + away).mean()),
            "held_out": len(ids),
            "distrusted": int(problem.distrusted.sum()),
        }
        return Solution(
            pieces.replace(trusted, outside_map(problem, len(trusted))),
            mean + scale * weighted_sum(problem, weights, mean),
            details,
        )


def fitted_weights(
    made: Sequence[Float[torch.Tensor, "hidden dim"]], true: Float[torch.Tensor, "hidden dim"]
) -> list[float]:
    """The weights, none negative, with which the parts' rows come nearest to the true ones."""
    columns = torch.stack([rows.flatten() for rows in made], dim=1).double().cpu().numpy()
    model = LinearRegression(fit_intercept=False, positive=True)
    model.fit(columns, true.flatten().double().cpu().numpy())
    return [float(weight) for weight in model.coef_]


def weighted_sum(
    problem: Problem, weights: Sequence[float], mean: Float[torch.Tensor, " dim"]
) -> Float[torch.Tensor, "missing dim"]:
    """The sum of the parts' rows, measured from the mean row, by weight."""
    total = torch.zeros(len(problem.missing), len(mean), device=mean.device)
    for part, weight in zip(PARTS, weights, strict=True):
        if weight > 0:
            total += weight * offsets(problem, part, mean)
    return total


def offsets(
    problem: Problem, part: Method, mean: Float[torch.Tensor, " dim"]
) -> Float[torch.Tensor, "missing dim"]:
    """The rows that a part makes of the missing tokens, measured from the mean row."""
    solution = part.solve(dataclasses.replace(problem, advance=None))
    rows = problem.base_rows.float()
    return apply_map(solution.map, rows, mean=mean, outside=solution.outside) - mean
