"""The spaces a sparse code is found in: a problem's own, centred, or both matrices side by side."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tokxfer.embeddings.applying import mean_row
from tokxfer.embeddings.problem import Problem
from tokxfer.shapes import Float


def centred(problem: Problem) -> Problem:
    """The problem whose rows, the donor's and the base's, are measured from their mean rows."""
    assert problem.donor_rows is not None
    donor, base = problem.donor_rows.float(), problem.base_rows.float()
    return dataclasses.replace(
        problem,
        donor_rows=donor - mean_row(donor, problem.donor),
        base_rows=base - mean_row(base, problem.base),
    )


def joint(problem: Problem) -> Problem:
    """The problem that both matrices pose together; of a tied base, the problem itself.

    Rows of the input and of the output matrix stand side by side. Anchors are those of both
    matrices, and a token is distrusted if it is in either.
    """
    other = problem.other
    if other is None:
        return problem
    first, second = (problem, other) if problem.matrix == "input" else (other, problem)
    assert first.donor_rows is not None
    assert second.donor_rows is not None
    alike = first.sources[problem.anchors] == second.sources[problem.anchors]
    trusted = np.isin(problem.anchors, other.anchors) & alike
    doubted = np.isin(problem.missing, other.missing[other.distrusted])
    return dataclasses.replace(
        problem,
        base_rows=side_by_side(first.base_rows, second.base_rows),
        donor_rows=side_by_side(first.donor_rows, second.donor_rows),
        anchors=problem.anchors[trusted],
        distrusted=problem.distrusted | doubted,
        other=None,
    )


def side_by_side(
    *matrices: Float[torch.Tensor, "tokens _"],
) -> Float[torch.Tensor, "tokens dims"]:
    """Matrices beside each other in float32, each at a mean square of 1."""
    rows = min(len(matrix) for matrix in matrices)
    parts = [matrix[:rows].float() for matrix in matrices]
    return torch.cat([part / part.square().mean().sqrt() for part in parts], dim=1)


def lengths_by_donor(problem: Problem) -> Float[torch.Tensor, " trusted"]:
    """How far from the base's mean row every trusted missing row is, going by the donor.

    That is the distance of the donor's row from the donor's mean row, in the ratio of the mean
    distances of the anchors' rows in base and donor.
    """
    measured = centred(problem)
    donor, base = measured.donor_rows, measured.base_rows
    assert donor is not None
    trusted = torch.from_numpy(problem.missing[~problem.distrusted]).to(donor.device)
    anchors = torch.from_numpy(problem.anchors).to(donor.device)
    sources = torch.from_numpy(problem.sources[problem.anchors]).to(base.device)
    ratio = float(base[sources].norm(dim=1).mean() / donor[anchors].norm(dim=1).mean())
    lengths: torch.Tensor = donor[trusted].norm(dim=1) * ratio
    return lengths
