"""`tokenadapt-hybrid`: pieces and neighbours of a token together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.embeddings.tokenadapt import blend, check_options, global_map, local_map


@dataclass(frozen=True)
class TokenAdaptHybrid:
    """TokenAdapt in full: (1 - share) times the pieces' mean plus share times the neighbours'.

    A token that has no pieces or no neighbours gets the other part alone, one that has neither the
    mean row. The same weights serve both matrices.

    Args:
        share: What neighbours count where there are pieces too, from 0 to 1.
        k: Neighbours.
        temperature: How evenly pieces and neighbours count.
        threshold: Neighbours with a lower cosine are left out.

    Raises:
        UsageError: An option is out of range.

    Source: "Achieving Tokenizer Flexibility in Language Models through Heuristic Adaptation and
    Supertoken Learning" (2505.09738).
    """

    name: ClassVar[str] = "tokenadapt-hybrid"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    share: float = 0.3
    k: int = 3
    temperature: float = 0.3
    threshold: float = 0.0

    def __post_init__(self) -> None:
        check_options(
            temperature=self.temperature, k=self.k, threshold=self.threshold, share=self.share
        )

    def solve(self, problem: Problem) -> Solution:
        """One mean of pieces and neighbours per missing token."""
        local = local_map(problem, self.temperature)
        near = global_map(problem, self.k, self.temperature, self.threshold)
        return Solution(blend(local, near, self.share))
