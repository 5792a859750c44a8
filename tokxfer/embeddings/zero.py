"""`zero`: missing tokens start at zero, the baseline that shows what a row is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from tokxfer.embeddings.mean import empty_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.vocabulary import Origin


@dataclass(frozen=True)
class Zero:
    """Zero rows: logit 0 in the head, no signal in the input."""

    name: ClassVar[str] = "zero"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """A row of zeros for every missing token, on purpose."""
        rows = problem.base_rows
        zeros = torch.zeros(len(problem.missing), rows.shape[1], device=rows.device)
        return Solution(empty_map(problem, Origin.OUTSIDE), zeros)
