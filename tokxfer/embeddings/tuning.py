"""Choosing k, selection and ridge on held-out anchors: shared tokens treated as if missing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from tokxfer.embeddings.problem import Problem
from tokxfer.sparse import Selection, omp, solve_support

HELD_OUT = 512
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
RIDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Choice:
    """What held-out anchors say.

    Attributes:
        k: Support size.
        selection: "raw" or "normalized".
        ridge: Penalty on the coefficients.
        error: Relative squared error of held-out anchors' rows in the base's space, of which 1
            is that of the mean row; None where nothing was held out.
        held_out: Anchors held out.
    """

    k: int
    selection: Selection
    ridge: float
    error: float | None
    held_out: int

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return dataclasses.asdict(self)


def choose(
    problem: Problem,
    *,
    k: int,
    selection: str,
    ridge: float | str,
    tune: bool,
) -> Choice:
    """Choose what is left open, by the error of held-out anchors in the base's space.

    Args:
        problem: One matrix's problem.
        k: Largest support size; first capped by what the anchors support.
        selection: "raw", "normalized", or "auto" to choose.
        ridge: A number, or "auto" to choose.
        tune: Whether a smaller k may be chosen.
    """
    rows = problem.donor_rows
    assert rows is not None
    k = min(k, supported(len(problem.anchors), rows.shape[1]))
    selections: tuple[Selection, ...] = (
        ("normalized", "raw") if selection == "auto" else (cast(Selection, selection),)
    )
    ridges = RIDGES if isinstance(ridge, str) else (ridge,)
    sizes = sorted({size for size in SIZES if size < k} | {k}) if tune else [k]
    count = min(HELD_OUT, len(problem.anchors) // 5)
    if count < 8 or len(selections) * len(ridges) * len(sizes) == 1:
        return Choice(k, selections[0], ridges[0], None, 0)
    order = np.random.default_rng(problem.seed).permutation(len(problem.anchors))
    hidden = torch.from_numpy(np.sort(problem.anchors[order[:count]]))
    kept = torch.from_numpy(np.sort(problem.anchors[order[count:]]))
    base_ids = torch.from_numpy(problem.sources)
    targets, atoms = rows[hidden.to(rows.device)].float(), rows[kept.to(rows.device)].float()
    base_rows = problem.base_rows
    truth = base_rows[base_ids[hidden].to(base_rows.device)].float()
    sources = base_rows[base_ids[kept].to(base_rows.device)].float()
    spread = (truth - sources.mean(dim=0)).square().sum()
    best: Choice | None = None
    for candidate in selections:
        codes = omp(targets, atoms, k, selection=candidate, memory_budget=problem.memory_budget)
        for size in sizes:
            support = codes.support[:, :size]
            for penalty in ridges:
                coefficients = solve_support(targets, atoms, support, ridge=penalty)
                guess = (coefficients[:, :, None] * sources[support.clamp(min=0)]).sum(dim=1)
                error = float((guess - truth).square().sum() / spread)
                if best is None or error < (best.error or 0.0):
                    best = Choice(size, candidate, penalty, error, count)
    assert best is not None
    return best


def supported(anchors: int, dim: int) -> int:
    """The largest support that anchors of this number and width determine: half of either."""
    return max(1, min(anchors, dim) // 2)
