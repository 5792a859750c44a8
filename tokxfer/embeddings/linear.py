"""`linear`: one linear map from donor rows to base rows, fitted on the shared tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import RidgeCV

from tokxfer.embeddings.learning import (
    base_rows_of_anchors,
    donor_rows_of,
    outside_rows,
    with_pieces_for_distrusted,
)
from tokxfer.embeddings.mean import outside_map
from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.shapes import Float

SHARES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Linear:
    """Ridge regression of the base's rows on the donor's, with an intercept.

    The penalty is chosen from `SHARES` of the atoms' mean squared singular value by leaving out
    one anchor after another. The rows leave the span of existing rows, so that a head's bias gets
    its mean for new tokens.
    """

    name: ClassVar[str] = "linear"
    needs: ClassVar[frozenset[str]] = frozenset({"donor weights", "anchors"})

    def solve(self, problem: Problem) -> Solution:
        """Map the missing rows, and take pieces for those distrusted."""
        targets, atoms = (rows.float() for rows in donor_rows_of(problem))
        learned, share = ridge_map(targets, atoms, base_rows_of_anchors(problem))
        whole = with_pieces_for_distrusted(problem, outside_map(problem, len(targets)))
        details = {"ridge": share, "distrusted": int(problem.distrusted.sum())}
        return Solution(whole, outside_rows(problem, learned), details)


def ridge_map(
    targets: Float[torch.Tensor, "targets donor_dim"],
    atoms: Float[torch.Tensor, "atoms donor_dim"],
    sources: Float[torch.Tensor, "atoms dim"],
) -> tuple[Float[torch.Tensor, "targets dim"], float]:
    """Images of the targets under the best ridge regression of sources on atoms, and its share."""
    unit = float((atoms - atoms.mean(dim=0)).square().sum()) / atoms.shape[1] or 1.0
    model = RidgeCV(alphas=[share * unit for share in SHARES])
    model.fit(atoms.double().cpu().numpy(), sources.double().cpu().numpy())
    made = targets.new_zeros(0, sources.shape[1])
    if len(targets):
        made = torch.from_numpy(model.predict(targets.double().cpu().numpy())).float()
    return made.to(sources.device), float(model.alpha_) / unit
