"""`subword-uniform` (FVT, ReTok): a missing token is the mean of the base's own pieces of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Problem, Solution


@dataclass(frozen=True)
class Subword:
    """Uniform mean of the pieces into which the base's tokenizer splits the token's bytes.

    Source: Gee et al., "Fast Vocabulary Transfer" (2402.09977). A token that the base cannot spell
    gets the mean row.
    """

    name: ClassVar[str] = "subword-uniform"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token."""
        return Solution(pieces_map(problem, problem.missing.tolist()))
