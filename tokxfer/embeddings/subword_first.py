"""`subword-first`: a mean of the pieces in which the first piece counts most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.pieces import check_decay, pieces_map
from tokxfer.embeddings.problem import Problem, Solution


@dataclass(frozen=True)
class SubwordFirst:
    """Mean of the pieces of the token's bytes, the first of which counts most.

    Args:
        decay: What a piece counts, in parts of its neighbour nearer to the first: 0 takes the
            first piece alone, 1 all alike.

    Raises:
        UsageError: decay is not from 0 to 1.
    """

    name: ClassVar[str] = "subword-first"
    needs: ClassVar[frozenset[str]] = frozenset()
    decay: float = 0.5

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token, the first most."""
        return Solution(pieces_map(problem, problem.missing.tolist(), self.weigh))

    def weigh(self, lengths: Sequence[int]) -> Sequence[float]:
        """Weights [pieces] that fall by `decay` with the distance from the first piece."""
        return [self.decay**place for place in range(len(lengths))]
