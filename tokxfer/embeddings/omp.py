"""`omp`: a missing token is the combination of shared tokens that makes its donor row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tokxfer.embeddings.learning import donor_rows_of, with_pieces_for_distrusted
from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.embeddings.tuning import choose
from tokxfer.errors import UsageError
from tokxfer.sparse import SparseCodes, omp
from tokxfer.vocabulary import Origin, VocabularyMap


@dataclass(frozen=True)
class OMP:
    """Orthogonal Matching Pursuit in the donor's space, carried over to the base's.

    A donor row x is written as a sparse combination of the donor rows a_j of shared tokens; the
    same coefficients on the base's rows b_j give the new row. Tokens whose donor row was hardly
    trained get the subword mean instead: pursuit would only amplify its noise.

    Args:
        k: Shared tokens per combination, at most.
        selection: "normalized" or "raw" correlation; "auto" chooses on held-out anchors.
        ridge: Penalty on the coefficients (see `tokxfer.sparse.omp`); "auto" chooses.
        tune: Whether held-out anchors may also say that fewer than `k` are taken, and how long
            new rows are.

    Source: "Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit" (2506.06607).
    """

    name: ClassVar[str] = "omp"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})
    k: int = 64
    selection: str = "auto"
    ridge: float | str = "auto"
    tune: bool = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(
                f"k is {self.k}; a combination needs at least one token.", "Use -k 64."
            )
        if self.selection not in ("auto", "raw", "normalized"):
            raise UsageError(
                f"There is no selection {self.selection!r}.", "Use auto, raw or normalized."
            )
        if isinstance(self.ridge, str) and self.ridge != "auto":
            raise UsageError(f"The ridge {self.ridge!r} is no number.", "Use a number or auto.")
        if not isinstance(self.ridge, str) and not 0 <= self.ridge < math.inf:
            raise UsageError(
                f"The ridge is {self.ridge}; it must be finite and cannot be negative.",
                "Use 0.1, say.",
            )

    def solve(self, problem: Problem) -> Solution:
        """Write the missing donor rows over the anchors, and distrusted ones by their pieces."""
        targets, atoms = donor_rows_of(problem)
        if len(problem.missing) == 0:
            return Solution(pieces_map(problem, []))
        choice = choose(
            problem, k=self.k, selection=self.selection, ridge=self.ridge, tune=self.tune
        )
        codes = omp(
            targets,
            atoms,
            choice.k,
            selection=choice.selection,
            ridge=choice.ridge,
            memory_budget=problem.memory_budget,
            advance=problem.advance,
        )
        coded = codes_map(codes, problem, choice.scale)
        whole = with_pieces_for_distrusted(problem, coded)
        details = choice.to_dict() | {"distrusted": int(problem.distrusted.sum())}
        return Solution(whole, details=details, advanced=True)


def codes_map(codes: SparseCodes, problem: Problem, scale: float) -> VocabularyMap:
    """Sparse codes over anchors as a map over the base's rows, places unused left out.

    A new row is m + scale · (Σ c b - m); m is the base's mean row.
    """
    support, coefficients = codes.support.cpu().numpy(), codes.coefficients.cpu().numpy()
    used = support >= 0
    return VocabularyMap(
        source_size=len(problem.base_rows),
        indptr=np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64),
        indices=problem.sources[problem.anchors][support[used]],
        weights=(coefficients[used] * scale).astype(np.float32),
        origins=np.where(used.any(axis=1), Origin.OMP, Origin.MEAN).astype(np.uint8),
        mean_weights=np.full(len(used), 1.0 - scale, dtype=np.float32),
    )
