"""Rows made of the base's own pieces of a token's bytes: what the subword methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokxfer.embeddings.problem import Problem
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Origin, VocabularyMap

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
    without gets no dummy prefix, incomplete UTF-8 goes through byte tokens. They are read as the
    base reads text: lower-cased where its tokenizer does that. A token that the base cannot spell
    is of origin MEAN.

    Args:
        problem: One matrix's problem.
        donor_ids: The ids to make rows for.
        weigh: How much each piece counts; weights are divided by their sum.
    """
    rows = []
    for known in pieces_of(problem, donor_ids):
        weights = weigh([len(problem.base.tokens[piece]) for piece in known])
        total = sum(weights)
        rows.append(
            (known, [weight / total for weight in weights], Origin.PIECES)
            if known
            else ((), (), Origin.MEAN)
        )
    return VocabularyMap.from_rows(len(problem.base_rows), rows)


def pieces_of(problem: Problem, donor_ids: Sequence[int]) -> list[list[int]]:
    """The base's pieces of some donor ids, those that have a row; [] for what cannot be spelled."""
    spelled = [problem.donor.tokens[donor_id] for donor_id in donor_ids]
    found = (
        [in_two(problem.base, token) for token in spelled]
        if problem.hidden
        else problem.base.readings(spelled)
    )
    return [[piece for piece in pieces if piece < len(problem.base_rows)] for pieces in found]


def in_two(vocabulary: ByteVocabulary, spelled: bytes) -> list[int]:
    """The pieces of a token's bytes as if it were no token itself: those of its best two parts.

    The best have the fewest pieces; among those, the longest first part.
    """
    cuts = range(len(spelled) - 1, 0, -1)
    lefts = vocabulary.readings([spelled[:cut] for cut in cuts])
    rights = vocabulary.readings([spelled[cut:] for cut in cuts])
    whole = [a + b for a, b in zip(lefts, rights, strict=True) if a and b]
    return min(whole, key=len, default=[])


def check_decay(decay: float) -> None:
    """Refuse a decay that is no share.

    Raises:
        UsageError: It is not from 0 to 1.
    """
    if not 0 <= decay <= 1:
        raise UsageError(f"The decay is {decay}; it must lie between 0 and 1.", "Use 0.5, say.")
