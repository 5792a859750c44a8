"""Choosing how `omp` codes on held-out anchors: shared tokens treated as if missing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from tokxfer.embeddings.applying import mean_row
from tokxfer.embeddings.problem import Ids, Problem
from tokxfer.shapes import Float
from tokxfer.sparse import Selection, omp, solve_path

HELD_OUT = 512
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
RIDGES = (0.0, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Choice:
    """How rows are coded, and what held-out anchors say of it.

    Attributes:
        k: Support size.
        selection: "raw" or "normalized".
        ridge: Penalty on the coefficients.
        scale: What a new row's difference from the mean row is multiplied by.
        cosine: Mean cosine of held-out anchors' rows with their true rows in the base, both
            measured from the mean row; None where nothing was held out.
        held_out: Anchors held out.
    """

    k: int
    selection: Selection
    ridge: float
    scale: float = 1.0
    cosine: float | None = None
    held_out: int = 0

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
    """Choose what is left open by the direction in which held-out anchors come out.

    The measure is the cosine and not the squared error, because the error rewards rows that
    shrink towards the mean; a model reads such rows worse than longer ones in the same direction.
    The length is set afterwards: new rows go half the way, geometrically, to the length of true
    ones, since at full length what is wrong about them costs more than what is right gains.

    Args:
        problem: One matrix's problem.
        k: Largest support size; first capped by what the anchors support.
        selection: "raw", "normalized", or "auto" to choose.
        ridge: A number, or "auto" to choose.
        tune: Whether a smaller k and a scale may be chosen.
    """
    rows, base_rows = problem.donor_rows, problem.base_rows
    assert rows is not None
    k = min(k, supported(len(problem.anchors), rows.shape[1]))
    selections: tuple[Selection, ...] = (
        ("normalized", "raw") if selection == "auto" else (cast(Selection, selection),)
    )
    ridges = RIDGES if isinstance(ridge, str) else (ridge,)
    sizes = sorted({size for size in SIZES if size < k} | {k}) if tune else [k]
    count = min(HELD_OUT, len(problem.anchors) // 5)
    if count < 8 or not (tune or len(selections) * len(ridges) > 1):
        return Choice(k, selections[0], ridges[0])
    order = np.random.default_rng(problem.seed).permutation(len(problem.anchors))
    hidden, kept = np.sort(problem.anchors[order[:count]]), np.sort(problem.anchors[order[count:]])
    mean = mean_row(base_rows, problem.base)
    targets, atoms = _take(rows, hidden), _take(rows, kept)
    truth = _take(base_rows, problem.sources[hidden]) - mean
    sources = _take(base_rows, problem.sources[kept])
    best: Choice | None = None
    for candidate in selections:
        codes = omp(targets, atoms, k, selection=candidate, memory_budget=problem.memory_budget)
        path = solve_path(
            targets, atoms, codes.support, sizes, ridges, memory_budget=problem.memory_budget
        )
        for (size, penalty), coefficients in path.items():
            support = codes.support[:, :size]
            guess = functional.embedding_bag(
                support.clamp(min=0), sources, per_sample_weights=coefficients, mode="sum"
            )
            guess -= mean
            cosine = float(functional.cosine_similarity(guess, truth).mean())
            if best is None or best.cosine is None or cosine > best.cosine:
                lengths = guess.norm(dim=1).sum()
                ratio = float(truth.norm(dim=1).sum() / lengths) if tune and lengths > 0 else 1.0
                best = Choice(size, candidate, penalty, ratio**0.5, cosine, count)
    assert best is not None
    return best


def supported(anchors: int, dim: int) -> int:
    """The largest support that anchors of this number and width determine: half of either."""
    return max(1, min(anchors, dim) // 2)


def _take(rows: Float[torch.Tensor, "tokens dim"], ids: Ids) -> Float[torch.Tensor, "ids dim"]:
    return rows[torch.from_numpy(ids).to(rows.device)].float()
