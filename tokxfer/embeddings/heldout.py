"""How good new rows are: shared tokens treated as if missing, and compared with their true rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from tokxfer.embeddings.applying import apply_map, mean_row, trained_rows
from tokxfer.embeddings.problem import Ids, Problem, Solver
from tokxfer.errors import VocabularyError
from tokxfer.shapes import Float

HELD_OUT = 512
FEWEST = 8
BATCH = 256
WORST = 10
EQUAL = 1e-6  # cosines that differ by less are equal


@dataclass(frozen=True)
class HeldOut:
    """What a method makes of shared tokens that it is not shown, in one matrix.

    Attributes:
        tokens: How many were held out.
        cosine: Mean cosine of new and true rows, both measured from the centre: the mean of the
            shared rows that a method is shown. One row for all tokens is worth about 0.
        relative_error: Length of all differences between new and true rows, in parts of the length
            of the true rows' differences from the centre: 1 is what the centre itself makes.
        rank: Median place of the true row among the base's, the likest to the new row first; 1 is
            the best. Rows are measured from the centre.
        worst: Donor ids of the tokens with the lowest cosines, the worst first, each with its own.
    """

    tokens: int
    cosine: float
    relative_error: float
    rank: float
    worst: tuple[tuple[int, float], ...] = ()


def held_out(problem: Problem, method: Solver, *, count: int = HELD_OUT) -> HeldOut:
    """Hide a sample of anchors from a method, and see how near it comes to their rows.

    Args:
        problem: One matrix's problem; its seed draws the sample, so that every method gets the
            same one.
        method: The initializer.
        count: Tokens to hold out, at most a fifth of the anchors.

    Raises:
        VocabularyError: There are too few anchors to hold any out.
    """
    posed = hide(problem, count)
    solution = method.solve(posed)
    mean = mean_row(problem.base_rows, problem.base)
    rows = problem.base_rows.float()
    ids = torch.from_numpy(problem.sources[posed.missing]).to(rows.device)
    centre = shared_centre(posed)
    made = apply_map(solution.map, rows, mean=mean, outside=solution.outside) - centre
    true = rows[ids] - centre
    cosines = functional.cosine_similarity(made, true)
    ranks = places(made, cosines, trained_rows(rows, problem.base).clone().sub_(centre))
    return HeldOut(
        tokens=len(ids),
        cosine=float(cosines.mean()),
        relative_error=float((made - true).norm() / true.norm()),
        rank=float(ranks.median()),
        worst=tuple(
            (int(posed.missing[at]), round(float(cosines[at]), 4))
            for at in cosines.argsort()[:WORST].tolist()
        ),
    )


def shared_centre(problem: Problem) -> Float[torch.Tensor, " dim"]:
    """The mean in float32 of the base's rows of the anchors, from which new rows are measured.

    Not the mean of all rows: those that training left alone would pull it away from all others, and
    every row that lies where they do not would seem to be in the right direction.
    """
    shown = torch.from_numpy(problem.sources[problem.anchors]).to(problem.base_rows.device)
    return problem.base_rows[shown].float().mean(dim=0)


def hide(problem: Problem, count: int = HELD_OUT) -> Problem:
    """The problem whose missing tokens are anchors of this one, drawn by its seed.

    Only tokens of two bytes and more are drawn: what is missing in earnest is never a single byte
    that the base has a token for.

    Raises:
        VocabularyError: There are too few anchors to hold any out.
    """
    anchors = problem.anchors
    long = anchors[[len(problem.donor.tokens[token]) > 1 for token in anchors.tolist()]]
    count = min(count, len(anchors) // 5, len(long))
    if count < FEWEST:
        raise VocabularyError(
            f"Only {len(anchors)} shared tokens can be learnt from, too few to hold any out.",
            "Choose a method yourself: -m subword.",
        )
    drawn = np.sort(np.random.default_rng(problem.seed).choice(long, count, replace=False))
    posed = without(problem, drawn)
    return dataclasses.replace(posed, other=problem.other and without(problem.other, drawn))


def without(problem: Problem, drawn: Ids) -> Problem:
    """The problem in which some shared tokens are the missing ones, and no anchors."""
    sources = problem.sources.copy()
    sources[drawn] = -1
    same = np.isin(problem.sources[problem.anchors], problem.sources[drawn])  # other spellings too
    return dataclasses.replace(
        problem,
        sources=sources,
        missing=drawn,
        anchors=problem.anchors[~same],
        distrusted=np.zeros(len(drawn), dtype=bool),
        advance=None,
        hidden=True,
    )


def places(
    made: Float[torch.Tensor, "tokens dim"],
    cosines: Float[torch.Tensor, " tokens"],
    rows: Float[torch.Tensor, "base_tokens dim"],
) -> Float[torch.Tensor, " tokens"]:
    """The place, from 1, that a cosine takes among those of a new row with all of the base's.

    `rows` is overwritten. Among equals it is the middle one, so that a row without a direction is
    in the middle of all.
    """
    directions = functional.normalize(rows, dim=1, out=rows)
    found = []
    for start in range(0, len(made), BATCH):
        part = slice(start, start + BATCH)
        ahead = functional.normalize(made[part], dim=1) @ directions.T - cosines[part, None]
        equal = (ahead.abs() <= EQUAL).sum(dim=1)
        found.append(1 + (ahead > EQUAL).sum(dim=1) + (equal - 1).clamp(min=0) / 2)
    return torch.cat(found)
