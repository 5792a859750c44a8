"""`asymmetric`: pieces averaged one way for what the model reads, another for what it writes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tokxfer.embeddings.applying import apply_map, mean_row, trained_rows
from tokxfer.embeddings.pieces import by_length, pieces_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.vocabulary import Origin, VocabularyMap


@dataclass(frozen=True)
class Asymmetric:
    """Input rows: uniform means, scaled to the mean norm of the base's rows. Head: by length.

    The mean of several rows is shorter than they are, and a layer that reads it takes it for a
    weaker word; the head's rows keep the length that a mean has. A tied matrix is made like a head,
    since a row too long there takes probability from every other token.

    Source: "Beyond Initialization Loss" (2608.03494).
    """

    name: ClassVar[str] = "asymmetric"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token as its matrix asks."""
        missing = problem.missing.tolist()
        if problem.matrix != "input":
            return Solution(pieces_map(problem, missing, by_length))
        return Solution(calibrated(problem, pieces_map(problem, missing)))


def calibrated(problem: Problem, map: VocabularyMap) -> VocabularyMap:
    """The same map with every row of pieces scaled to the mean norm of the base's ordinary rows."""
    base_rows = problem.base_rows
    mean = mean_row(base_rows, problem.base)
    made = apply_map(map, base_rows.float(), mean=mean).norm(dim=1).cpu().numpy()
    wanted = float(trained_rows(base_rows, problem.base).float().norm(dim=1).mean())
    scale = np.where(
        (map.origins == Origin.PIECES) & (made > 0), wanted / np.maximum(made, 1e-30), 1.0
    )
    weights = map.weights * np.repeat(scale, np.diff(map.indptr))
    return dataclasses.replace(map, weights=weights.astype(np.float32))
