"""From a method's answer for the missing tokens to the whole new matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.embeddings.applying import apply_map, mean_row
from tokxfer.embeddings.problem import Corpus, Encoder, Ids, Problem, Solver
from tokxfer.embeddings.undertrained import undertrained_rows
from tokxfer.shapes import Float
from tokxfer.vocabulary import ByteVocabulary, Kind, Match, MatchKind, Origin, VocabularyMap


@dataclass(frozen=True)
class Assembly:
    """A whole new matrix, not yet applied.

    Attributes:
        map: One row per new id, padding included, over the base's rows.
        outside: Rows for origin OUTSIDE at their own places [new tokens, dim], or None.
        mean: The row for origins MEAN and PADDING [dim], float32.
        details: The method's own account.
        undertrained: How many rows training hardly touched, by model.
    """

    map: VocabularyMap
    outside: Float[torch.Tensor, "new_tokens dim"] | None
    mean: Float[torch.Tensor, " dim"]
    details: Mapping[str, Any]
    undertrained: Mapping[str, int] = field(default_factory=dict)

    def rows(
        self, base_rows: Float[torch.Tensor, "base_tokens dim"]
    ) -> Float[torch.Tensor, "new_tokens dim"]:
        """The new matrix, in the dtype of the base's."""
        return apply_map(self.map, base_rows, mean=self.mean, outside=self.outside)


def pose(
    matrix: str,
    base_rows: Float[torch.Tensor, "base_tokens dim"],
    donor_rows: Float[torch.Tensor, "donor_tokens donor_dim"] | None,
    base: ByteVocabulary,
    donor: ByteVocabulary,
    match: Match,
    *,
    seed: int = 0,
    memory_budget: int | None = None,
    advance: Callable[[int], None] | None = None,
    encoder: Encoder | None = None,
    trust_undertrained: bool = False,
    corpus: Corpus | None = None,
) -> Problem:
    """State one matrix's problem: what is missing, what can be learnt from, what to distrust.

    Anchors are the shared ordinary tokens that have a row in both matrices and were trained in
    both. Byte tokens of a fallback (`<0x0A>`) are none, unless there are no others: they occur only
    in text that has no token otherwise, and their rows say little. A missing token is distrusted
    when the donor has no row for it, or hardly trained it.

    Args:
        matrix, base_rows, donor_rows, base, donor: As in `Problem`, as are the others.
        match: The donor's ids lined up with the base's.
        trust_undertrained: Whether rows that training hardly touched count like any other.
    """
    sources = sources_of(matrix, match, len(base_rows))
    has_row = sources >= 0
    ordinary = ~np.isin(donor.kinds, (Kind.SPECIAL, Kind.UNUSED))
    missing = np.flatnonzero(~has_row & ordinary & (match.how != MatchKind.TWIN))
    anchors = has_row & ordinary & (match.how == MatchKind.BYTES)
    spelled = anchors & (donor.kinds != Kind.BYTE)
    spelled[spelled] = base.kinds[match.base_ids[spelled]] != Kind.BYTE
    anchors = spelled if spelled.any() else anchors
    poor, base_poor = poor_rows(donor_rows, donor), poor_rows(base_rows, base)
    undertrained = {"base": int(base_poor.sum())}
    if donor_rows is not None:
        undertrained["donor"] = int(poor.sum())
    if trust_undertrained:
        poor[:], base_poor[:] = False, False
    if donor_rows is not None:
        poor[len(donor_rows) :] = True
    anchors &= ~poor & ~base_poor[np.where(has_row, sources, 0)]
    return Problem(
        matrix=matrix,
        base_rows=base_rows,
        donor_rows=donor_rows,
        base=base,
        donor=donor,
        sources=sources,
        how=match.how,
        missing=missing,
        anchors=np.flatnonzero(anchors),
        distrusted=poor[missing],
        seed=seed,
        memory_budget=memory_budget,
        advance=advance,
        encoder=encoder,
        undertrained=undertrained,
        poor=np.flatnonzero(base_poor),
        corpus=corpus,
    )


def poor_rows(
    rows: Float[torch.Tensor, "rows dim"] | None, vocabulary: ByteVocabulary
) -> npt.NDArray[np.bool_]:
    """Whether training hardly touched the row of each ordinary token [ids]; none without rows."""
    poor = np.zeros(vocabulary.size, dtype=bool)
    if rows is not None:
        covered = min(vocabulary.size, len(rows))
        poor[:covered] = undertrained_rows(rows, vocabulary)[:covered]
    return poor & ~np.isin(vocabulary.kinds, (Kind.SPECIAL, Kind.UNUSED))


def assemble(problem: Problem, method: Solver, size: int) -> Assembly:
    """Copy what is shared, solve what is missing, fill what has no counterpart.

    Args:
        problem: One matrix's problem.
        method: The initializer.
        size: Rows of the new matrix; those beyond the donor's ids are padding, and keep the base's
            own padding row of the same place.
    """
    solution = method.solve(problem)
    if problem.advance is not None and not solution.advanced:
        problem.advance(len(problem.missing))
    by_role = problem.how == MatchKind.ROLE
    rows = [
        ((source,), (1.0,), Origin.ROLE if role else Origin.COPIED)
        if source >= 0
        else ((), (), Origin.MEAN)
        for source, role in zip(problem.sources.tolist(), by_role.tolist(), strict=True)
    ]
    padding = range(problem.base.size, len(problem.base_rows))
    rows += [
        ((place,), (1.0,), Origin.COPIED) if place in padding else ((), (), Origin.PADDING)
        for place in range(len(rows), size)
    ]
    whole = VocabularyMap.from_rows(len(problem.base_rows), rows)
    whole = whole.replace(problem.missing, solution.map)
    outside = None
    if solution.outside is not None:
        base_rows = problem.base_rows
        outside = torch.zeros(size, base_rows.shape[1], device=base_rows.device)
        outside[torch.from_numpy(problem.missing).to(base_rows.device)] = solution.outside.float()
    mean = mean_row(problem.base_rows, problem.base)
    return Assembly(whole, outside, mean, solution.details, problem.undertrained)


def sources_of(matrix: str, match: Match, base_size: int) -> Ids:
    """The base id each donor id takes over in a matrix [donor ids]; -1 where there is no row."""
    ids = match.output_ids if matrix == "output" else match.base_ids
    return np.where(ids < base_size, ids, -1)
