"""`omp`: a missing token is the combination of shared tokens that makes its donor row."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.embeddings.applying import apply_map, mean_row
from tokxfer.embeddings.learning import donor_rows_of, with_pieces_for_distrusted
from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.embeddings.spaces import centred, joint, lengths_by_donor
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

    A new row is m + s (Σ c b - m), with m the base's mean row and s a scale from held-out anchors;
    where rows are centred, m + s Σ c (b - m).

    Args:
        k: Shared tokens per combination, at most.
        selection: "normalized" or "raw" correlation; "auto" chooses on held-out anchors.
        ridge: Penalty on the coefficients (see `tokxfer.sparse.omp`); "auto" chooses.
        tune: Whether held-out anchors may also say that fewer than `k` are taken, and how long
            new rows are.
        center: Whether rows are measured from the mean row of their model before they are coded.
        match_norms: Whether every new row is as far from the mean row as its donor row says,
            instead of at a length that held-out anchors say for all (see `lengths_by_donor`).
        shared: Whether input and output matrix get the same coefficients, found on rows of both
            side by side. For an untied base only: a tied one has one matrix.

    Source: "Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit" (2506.06607).
    """

    name: ClassVar[str] = "omp"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})
    k: int = 64
    selection: str = "auto"
    ridge: float | str = "auto"
    tune: bool = True
    center: bool = False
    match_norms: bool = False
    shared: bool = False

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
        posed = joint(problem) if self.shared else problem
        measured = centred(posed) if self.center else posed
        targets, atoms = donor_rows_of(measured)
        if len(problem.missing) == 0:
            return Solution(pieces_map(problem, []))
        choice = choose(
            measured, k=self.k, selection=self.selection, ridge=self.ridge, tune=self.tune
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
        coded = codes_map(codes, posed, centred=self.center)
        details = choice.to_dict() | {"distrusted": int(posed.distrusted.sum())}
        scale = np.full(coded.rows, choice.scale, dtype=np.float32)
        if self.match_norms:
            scale = matching_scale(posed, coded)
            details["scale"] = float(scale.mean()) if len(scale) else 1.0
        whole = with_pieces_for_distrusted(posed, scaled(coded, scale))
        return Solution(whole, details=details, advanced=True)


def codes_map(codes: SparseCodes, problem: Problem, *, centred: bool = False) -> VocabularyMap:
    """Sparse codes over anchors as a map over the base's rows, places unused left out.

    A new row is Σ c b; for codes of centred rows m + Σ c (b - m), with m the base's mean row.
    """
    support, coefficients = codes.support.cpu().numpy(), codes.coefficients.cpu().numpy()
    used = support >= 0
    left = 1.0 - (coefficients * used).sum(axis=1) if centred else np.zeros(len(used))
    return VocabularyMap(
        source_size=len(problem.base_rows),
        indptr=np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64),
        indices=problem.sources[problem.anchors][support[used]],
        weights=coefficients[used].astype(np.float32),
        origins=np.where(used.any(axis=1), Origin.OMP, Origin.MEAN).astype(np.uint8),
        mean_weights=left.astype(np.float32),
    )


def matching_scale(problem: Problem, coded: VocabularyMap) -> npt.NDArray[np.float32]:
    """What brings every coded row to the distance from the mean row that the donor says [rows]."""
    mean = mean_row(problem.base_rows, problem.base)
    found = (apply_map(coded, problem.base_rows.float(), mean=mean) - mean).norm(dim=1)
    scale = torch.where(found > 0, lengths_by_donor(problem) / found, 1.0)
    ratios: npt.NDArray[np.float32] = scale.cpu().numpy().astype(np.float32)
    return ratios


def scaled(coded: VocabularyMap, scale: npt.NDArray[np.float32]) -> VocabularyMap:
    """Every row y as m + scale · (y - m), with m the mean row."""
    return dataclasses.replace(
        coded,
        weights=coded.weights * np.repeat(scale, np.diff(coded.indptr)),
        mean_weights=1 - scale + scale * coded.means,
    )
