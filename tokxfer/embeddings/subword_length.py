"""`subword-length`: a mean of the pieces in which a piece counts by its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.pieces import by_length, pieces_map
from tokxfer.embeddings.problem import Problem, Solution


@dataclass(frozen=True)
class SubwordLength:
    """Mean of the pieces of the token's bytes, weighted by their lengths in bytes.

    Source: "Beyond Initialization Loss" (2608.03494), which weighs the head's rows so. Lengths are
    those of bytes, since a piece may be part of a character.
    """

    name: ClassVar[str] = "subword-length"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token by their lengths."""
        return Solution(pieces_map(problem, problem.missing.tolist(), by_length))
