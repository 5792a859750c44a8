"""`tokenadapt-global`: the tokens of the base nearest in a text encoder's space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.embeddings.tokenadapt import check_options, global_map


@dataclass(frozen=True)
class TokenAdaptGlobal:
    """The k nearest of all the base's tokens, by the cosine of a text encoder.

    The same weights serve both matrices.

    Args:
        k: Neighbours.
        temperature: How evenly they count; lower gives the nearest more.
        threshold: Neighbours with a lower cosine are left out.

    Raises:
        UsageError: An option is out of range.

    Source: "Achieving Tokenizer Flexibility in Language Models through Heuristic Adaptation and
    Supertoken Learning" (2505.09738), the global heuristic.
    """

    name: ClassVar[str] = "tokenadapt-global"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    k: int = 3
    temperature: float = 0.3
    threshold: float = 0.0

    def __post_init__(self) -> None:
        check_options(temperature=self.temperature, k=self.k, threshold=self.threshold)

    def solve(self, problem: Problem) -> Solution:
        """One weighted mean of neighbours per missing token."""
        return Solution(global_map(problem, self.k, self.temperature, self.threshold))
