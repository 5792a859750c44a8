"""`subword`: a missing token is the mean of the base's own pieces of its bytes (FVT)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.vocabulary import Origin, VocabularyMap


@dataclass(frozen=True)
class Subword:
    """Uniform mean of the pieces into which the base's tokenizer splits the token's bytes.

    Source: Gee et al., "Fast Vocabulary Transfer" (2022). Pieces are those of the *bytes*: a token
    with a leading space is split at a word's start, one without gets no dummy prefix, incomplete
    UTF-8 goes through byte tokens. A token that the base cannot spell gets the mean row.
    """

    name: ClassVar[str] = "subword"
    needs: ClassVar[frozenset[str]] = frozenset()

    def solve(self, problem: Problem) -> Solution:
        """Average the pieces of every missing token."""
        return Solution(pieces_map(problem, problem.missing.tolist()))


def pieces_map(problem: Problem, donor_ids: Sequence[int]) -> VocabularyMap:
    """The subword means of some donor ids, one row each, over the base's rows."""
    rows = []
    spelled = [problem.donor.tokens[donor_id] for donor_id in donor_ids]
    for pieces in problem.base.pieces_batch(spelled):
        known = [piece for piece in pieces if piece < len(problem.base_rows)]
        weights = [1 / max(1, len(known))] * len(known)
        rows.append((known, weights, Origin.PIECES if known else Origin.MEAN))
    return VocabularyMap.from_rows(len(problem.base_rows), rows)
