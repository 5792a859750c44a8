"""`subword-last`: a mean of the pieces in which the last piece counts most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.pieces import check_decay, pieces_map
from tokxfer.embeddings.problem import Problem, Solution


@dataclass(frozen=True)
class SubwordLast:
    """Mean of the pieces of the token's bytes, the last of which counts most.

    Args:
        decay: What a piece counts, in parts of its neighbour nearer to the last: 0 takes the
            last piece alone, 1 all alike.

    Raises:
        UsageError: decay is not from 0 to 1.
    """

    name: ClassVar[str] = "subword-last"
    needs: ClassVar[frozenset[str]] = frozenset()
    decay: float = 0.5

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token, the last most."""
        return Solution(pieces_map(problem, problem.missing.tolist(), self.weigh))

    def weigh(self, lengths: Sequence[int]) -> Sequence[float]:
        """Weights [pieces] that fall by `decay` with the distance from the last piece."""
        return [self.decay**place for place in reversed(range(len(lengths)))]
