"""`focus`: a missing token is a mixture of the shared tokens that occur in like places."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from tokxfer.embeddings.fitted import (
    check_seen,
    check_unseen,
    corpus_of,
    directions,
    with_unseen,
)
from tokxfer.embeddings.mean import empty_map
from tokxfer.embeddings.problem import Ids, Problem, Solution, Training
from tokxfer.embeddings.tokenadapt import compressed
from tokxfer.shapes import Float
from tokxfer.sparse import sparsemax, working_memory
from tokxfer.sparse.precision import exact_float32
from tokxfer.sparse.sparsemax import WORK
from tokxfer.vocabulary import Origin, VocabularyMap

MOST = 4096  # tokens mixed at a time, whatever memory there is


@dataclass(frozen=True)
class Focus:
    """Convex mixtures of shared tokens, by vectors fitted on text in the donor's tokens.

    With f the vectors, x a missing token and a_j the shared tokens that have one:
    w = sparsemax(cos(f(x), f(a_j)) over all j), y = Σ w_j b_j; the same weights serve both
    matrices. Every id has a vector of its own, whatever its bytes.

    Args:
        unseen: Rows of tokens without a vector: "gaussian" draws them around the mean row, "pieces"
            takes the means of their pieces.
        min_count: Occurrences in the text below which a token has no vector.
        epochs: Times the text is read.
        dim: Numbers in a vector.
        negatives: Random tokens that every token is told apart from.

    Raises:
        UsageError: An option is out of range.

    Source: Dobler and de Melo, "FOCUS: Effective Embedding Initialization for Monolingual
    Specialization of Multilingual Models" (2305.14481).
    """

    name: ClassVar[str] = "focus"
    needs: ClassVar[frozenset[str]] = frozenset({"text", "anchors"})
    unseen: str = "gaussian"
    min_count: int = 10
    epochs: int = 3
    dim: int = 100
    negatives: int = 10

    def __post_init__(self) -> None:
        check_unseen(self.unseen)
        self.training(0)

    def training(self, seed: int) -> Training:
        """How the vectors are fitted."""
        return Training(self.dim, self.epochs, self.negatives, self.min_count, seed)

    def solve(self, problem: Problem) -> Solution:
        """Mix the missing rows of the anchors'."""
        corpus, missing = corpus_of(problem), problem.missing
        if len(missing) == 0:
            return Solution(empty_map(problem, Origin.NEIGHBOURS))
        ids, vectors = corpus.token_vectors(problem.donor, self.training(problem.seed))
        place = np.full(problem.donor.size, -1)
        place[ids] = np.arange(len(ids))
        known = problem.anchors[place[problem.anchors] >= 0]
        check_seen(len(known), "shared token", self.min_count)
        seen = place[missing] >= 0
        unit = directions(vectors)
        learned = mixtures(problem, unit[place[missing[seen]]], unit[place[known]], known)
        solution = with_unseen(problem, seen, learned, self.unseen)
        details = {**solution.details, "anchors": len(known)}
        return dataclasses.replace(solution, details=details)


def mixtures(
    problem: Problem,
    targets: Float[np.ndarray, "seen dim"],
    atoms: Float[np.ndarray, "known dim"],
    known: Ids,
) -> VocabularyMap:
    """Sparsemax of the cosines of targets and atoms, over the base's rows.

    Args:
        problem: One matrix's problem.
        targets: Directions of missing tokens.
        atoms: Directions of the anchors that have one.
        known: Those anchors' donor ids [known].
    """
    device = problem.base_rows.device
    device = torch.device("cpu") if device.type == "mps" else device  # it has no float64
    room = working_memory(device, problem.memory_budget) // (WORK * len(atoms))
    step = int(min(MOST, max(1, room)))
    sources, among = problem.sources[known], torch.from_numpy(atoms).to(device)
    counts, indices, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(targets), step):
        part = torch.from_numpy(targets[start : start + step]).to(device)
        with exact_float32(device):
            shares = sparsemax(part @ among.T)
        counts.append((shares > 0).sum(dim=1).cpu().numpy())
        indices.append(sources[shares.nonzero()[:, 1].cpu().numpy()])
        weights.append(shares[shares > 0].cpu().numpy())
    return compressed(
        len(problem.base_rows),
        np.concatenate(counts),
        np.concatenate(indices),
        np.concatenate(weights),
        np.full(len(targets), Origin.NEIGHBOURS),
    )
