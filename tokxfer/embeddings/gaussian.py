"""`gaussian`: missing tokens are drawn around the mean row, dimension by dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from tokxfer.embeddings.applying import mean_row, trained_rows
from tokxfer.embeddings.mean import empty_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.errors import UsageError
from tokxfer.vocabulary import Origin


@dataclass(frozen=True)
class Gaussian:
    """Independent normal rows with the mean and standard deviation of the base's, per dimension.

    Args:
        scale: Factor on the standard deviation; 1 draws rows as spread out as the base's own.

    Raises:
        UsageError: The scale is negative or infinite.
    """

    name: ClassVar[str] = "gaussian"
    needs: ClassVar[frozenset[str]] = frozenset()
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale < math.inf:
            raise UsageError(f"The scale is {self.scale}; it must be 0 or more.", "Use 1, say.")

    def solve(self, problem: Problem) -> Solution:
        """Draw the missing rows with the problem's seed, the same on every device."""
        rows = problem.base_rows
        trained = trained_rows(rows, problem.base)
        mean = mean_row(rows, problem.base)
        deviation = trained.float().std(dim=0)
        noise = np.random.default_rng(problem.seed).standard_normal(
            (len(problem.missing), rows.shape[1]), dtype=np.float32
        )
        drawn = mean + self.scale * deviation * torch.from_numpy(noise).to(rows.device)
        return Solution(empty_map(problem, Origin.OUTSIDE), drawn)
