"""What methods share that learn from anchors: shared tokens with a trained row in both models."""

from __future__ import annotations

import numpy as np
import torch

from tokxfer.embeddings.pieces import pieces_map
from tokxfer.embeddings.problem import Problem
from tokxfer.errors import VocabularyError
from tokxfer.shapes import Float
from tokxfer.vocabulary import VocabularyMap


def donor_rows_of(
    problem: Problem,
) -> tuple[Float[torch.Tensor, "trusted donor_dim"], Float[torch.Tensor, "anchors donor_dim"]]:
    """The donor's rows of the missing tokens that are trusted, and of the anchors.

    Raises:
        VocabularyError: There are no anchors.
    """
    rows = problem.donor_rows
    assert rows is not None, "checked before any work: the method needs donor weights"
    if len(problem.anchors) == 0:
        raise VocabularyError(
            f"No shared token has a trained row in both {problem.matrix} matrices, so that there "
            "is nothing to learn from.",
            "Use a method without donor weights: -m subword.",
        )
    trusted = problem.missing[~problem.distrusted]
    return (
        rows[torch.from_numpy(trusted).to(rows.device)],
        rows[torch.from_numpy(problem.anchors).to(rows.device)],
    )


def base_rows_of_anchors(problem: Problem) -> Float[torch.Tensor, "anchors dim"]:
    """The base's rows of the anchors, in float32."""
    ids = torch.from_numpy(problem.sources[problem.anchors])
    return problem.base_rows[ids.to(problem.base_rows.device)].float()


def with_pieces_for_distrusted(problem: Problem, learned: VocabularyMap) -> VocabularyMap:
    """Learned rows [trusted] at their places, and means of pieces where the donor is distrusted."""
    return pieces_map(problem, problem.missing.tolist()).replace(
        np.flatnonzero(~problem.distrusted), learned
    )


def outside_rows(
    problem: Problem, learned: Float[torch.Tensor, "trusted dim"]
) -> Float[torch.Tensor, "missing dim"]:
    """Learned rows at their places among the missing, zeros where the donor is distrusted."""
    rows = torch.zeros(len(problem.missing), learned.shape[1], device=learned.device)
    rows[torch.from_numpy(~problem.distrusted).to(learned.device)] = learned
    return rows
