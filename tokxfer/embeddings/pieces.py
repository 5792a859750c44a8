"""Rows made of the base's own pieces of a token's bytes: what the subword methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokxfer.embeddings.problem import Problem
from tokxfer.errors import UsageError
from tokxfer.vocabulary import Origin, VocabularyMap

Weigh = Callable[[Sequence[int]], Sequence[float]]
"""From the lengths in bytes of a token's pieces to their weights, of any positive sum."""


def uniform(lengths: Sequence[int]) -> Sequence[float]:
    """Every piece counts alike."""
    return [1.0] * len(lengths)


def by_length(lengths: Sequence[int]) -> Sequence[float]:
    """A piece counts by its bytes."""
    return [float(length) for length in lengths]


def pieces_map(problem: Problem, donor_ids: Sequence[int], weigh: Weigh = uniform) -> VocabularyMap:
    """Weighted means of the pieces of some donor ids, one row each, over the base's rows.

    Pieces are those of the *bytes*: a token with a leading space is split at a word's start, one
    without gets no dummy prefix, incomplete UTF-8 goes through byte tokens. A token that the base
    cannot spell is of origin MEAN.

    Args:
        problem: One matrix's problem.
        donor_ids: The ids to make rows for.
        weigh: How much each piece counts; weights are divided by their sum.
    """
    rows = []
    spelled = [problem.donor.tokens[donor_id] for donor_id in donor_ids]
    for pieces in problem.base.pieces_batch(spelled):
        known = [piece for piece in pieces if piece < len(problem.base_rows)]
        weights = weigh([len(problem.base.tokens[piece]) for piece in known])
        total = sum(weights)
        rows.append(
            (known, [weight / total for weight in weights], Origin.PIECES)
            if known
            else ((), (), Origin.MEAN)
        )
    return VocabularyMap.from_rows(len(problem.base_rows), rows)


def check_decay(decay: float) -> None:
    """Refuse a decay that is no share.

    Raises:
        UsageError: It is not from 0 to 1.
    """
    if not 0 <= decay <= 1:
        raise UsageError(f"The decay is {decay}; it must lie between 0 and 1.", "Use 0.5, say.")
