"""`mean`: every missing token starts at the mean of the base's trained rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.vocabulary import Origin, VocabularyMap


@dataclass(frozen=True)
class Mean:
    """The mean row of the base, the same for every missing token."""

    name: ClassVar[str] = "mean"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """Mark every missing row as the mean row."""
        return Solution(empty_map(problem, Origin.MEAN))


def empty_map(problem: Problem, origin: Origin) -> VocabularyMap:
    """A map of the missing tokens with no entries, all of one origin."""
    return VocabularyMap.from_rows(
        len(problem.base_rows), [((), (), origin) for _ in problem.missing]
    )


def outside_map(problem: Problem, count: int) -> VocabularyMap:
    """A map of `count` rows given beside it."""
    return VocabularyMap.from_rows(
        len(problem.base_rows), [((), (), Origin.OUTSIDE) for _ in range(count)]
    )
