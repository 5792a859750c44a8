"""`auto`: for each matrix the method that comes nearest to held-out shared tokens."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.asymmetric import Asymmetric
from tokxfer.embeddings.heldout import held_out
from tokxfer.embeddings.knn import Neighbours
from tokxfer.embeddings.linear import Linear
from tokxfer.embeddings.omp import OMP
from tokxfer.embeddings.problem import Method, Problem, Solution
from tokxfer.embeddings.procrustes import Procrustes
from tokxfer.embeddings.subword import Subword
from tokxfer.embeddings.subword_length import SubwordLength
from tokxfer.errors import VocabularyError

CANDIDATES: tuple[Method, ...] = (
    OMP(), Linear(), Procrustes(), Neighbours(), Subword(), SubwordLength(), Asymmetric(),
)  # fmt: skip
FALLBACK = Subword()


@dataclass(frozen=True)
class Auto:
    """Every candidate rebuilds held-out shared tokens; the one of the highest cosine is taken.

    Candidates are the methods at their defaults that need no more than is given: the subword family
    for a bare tokenizer; `omp` (which chooses its own options in the same way), `knn`, `linear` and
    `procrustes` too where there are donor weights. Each matrix has its own choice. With too few
    shared tokens to hold any out it is `subword`. The report has every score.
    """

    name: ClassVar[str] = "auto"
    needs: ClassVar[frozenset[str]] = frozenset()
    wants: ClassVar[frozenset[str]] = frozenset({"donor weights"})

    def solve(self, problem: Problem) -> Solution:
        """The rows of the best candidate."""
        given = {"anchors"} if problem.donor_rows is None else {"anchors", "donor weights"}
        scores: dict[str, float] = {}
        best = float("-inf")
        method: Method = FALLBACK
        for candidate in CANDIDATES:
            if not candidate.needs <= given:
                continue
            try:
                cosine = held_out(problem, candidate).cosine
            except VocabularyError:
                break
            scores[candidate.name] = round(cosine, 4)
            if cosine > best:
                best, method = cosine, candidate
        solution = method.solve(problem)
        details = {"method": method.name, "cosines": scores, **solution.details}
        return dataclasses.replace(solution, details=details)
