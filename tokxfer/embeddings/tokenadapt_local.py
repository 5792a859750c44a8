"""`tokenadapt-local`: the base's own pieces of a token, the likest and the longest most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.embeddings.tokenadapt import check_options, local_map


@dataclass(frozen=True)
class TokenAdaptLocal:
    """The pieces of a token's bytes, weighed by a text encoder and by their length.

    The same weights serve both matrices.

    Args:
        temperature: How evenly pieces count; lower gives the best piece more.

    Raises:
        UsageError: The temperature is not positive.

    Source: "Achieving Tokenizer Flexibility in Language Models through Heuristic Adaptation and
    Supertoken Learning" (2505.09738), the local heuristic.
    """

    name: ClassVar[str] = "tokenadapt-local"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    temperature: float = 0.3

    def __post_init__(self) -> None:
        check_options(temperature=self.temperature)

    def solve(self, problem: Problem) -> Solution:
        """One weighted mean of pieces per missing token."""
        return Solution(local_map(problem, self.temperature))
