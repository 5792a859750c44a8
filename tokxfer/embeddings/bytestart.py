"""`byte-start`: rows of bytes from the base's own tokens for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tokxfer.embeddings.problem import Problem, Solution
from tokxfer.errors import UsageError
from tokxfer.vocabulary import Kind, Origin, VocabularyMap

Parts = Mapping[int, float]
"""Weights by base id, of sum 1; none where there is nothing to take."""


@dataclass(frozen=True)
class ByteStart:
    """Where a byte's rows begin that is to stand for all tokens it ends, or begins.

    Both begin with the row of the base's own token for the byte, the one that text becomes. With
    the input's, the mean of all tokens that end in the byte is mixed: at each of their ends the
    model had read that byte. With the head's, the mean row is: the own row was learned where that
    byte alone is the next token, and is too sure of it elsewhere. The mean of the tokens that
    begin with the byte can be mixed in there. In means a token counts by its place in the
    vocabulary, the earlier the more, about as frequencies fall. A tied matrix takes half of each.

    Args:
        suffix: What the tokens that end in a byte count in its input row, from 0 to 1.
        prefix: What those that begin with it count in its row of the head.
        calm: What the mean row counts in a row of the head.

    Raises:
        UsageError: A share is not from 0 to 1.

    Source: the idea of suffixes is that of B. Minixhofer et al., "Universal Cross-Tokenizer
    Distillation via Approximate Likelihood Matching" (2503.20083), who add to the input of each
    byte the row of the longest token that ends there, which takes a model with code of its own.
    What is mixed by default was measured (docs/log.md).
    """

    name: ClassVar[str] = "byte-start"
    needs: ClassVar[frozenset[str]] = frozenset()
    suffix: float = 0.5
    prefix: float = 0.0
    calm: float = 0.5

    def __post_init__(self) -> None:
        for name in ("suffix", "prefix", "calm"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise UsageError(
                    f"The option {name} is {value}; it must lie between 0 and 1.",
                    f"Leave it out for the default, {getattr(type(self), name)}.",
                )

    def solve(self, problem: Problem) -> Solution:
        """Mix the rows of every missing token; what nothing in the base ends with gets the mean."""
        spelled = [problem.donor.tokens[token] for token in problem.missing.tolist()]
        ends = affixes(problem, spelled, at_end=True)
        begins = affixes(problem, spelled, at_end=False)
        shares = {"input": (1.0, 0.0), "output": (0.0, 1.0), "tied": (0.5, 0.5)}[problem.matrix]
        rows = []
        for token, behind, before in zip(spelled, ends, begins, strict=True):
            own = own_row(problem, token)
            read, written = mixed(own, behind, self.suffix), mixed(own, before, self.prefix)
            found: dict[int, float] = {}
            for share, parts in ((shares[0], read), (shares[1] * (1 - self.calm), written)):
                for piece, weight in parts.items():
                    found[piece] = found.get(piece, 0.0) + share * weight
            found = {piece: weight for piece, weight in found.items() if weight}
            rows.append((list(found), list(found.values()), origin_of(found)))
        made = VocabularyMap.from_rows(len(problem.base_rows), rows)
        means = np.where(made.origins == Origin.MEAN, 0.0, shares[1] * self.calm)
        return Solution(dataclasses.replace(made, mean_weights=means.astype(np.float32)))


def origin_of(parts: Parts) -> Origin:
    """How a row of these parts came about; one that is another's own is a copy of it."""
    if not parts:
        return Origin.MEAN
    return Origin.COPIED if list(parts.values()) == [1.0] else Origin.PIECES


def own_row(problem: Problem, spelled: bytes) -> Parts:
    """The base's own token for some bytes: the one that text becomes."""
    ids = () if problem.hidden else problem.base.ids_of(spelled)
    return {token: 1.0 for token in ids[:1] if token < len(problem.base_rows)}


def affixes(problem: Problem, spelled: Sequence[bytes], *, at_end: bool) -> list[Parts]:
    """The base's tokens that end in some bytes, or begin with them, each by its frequency.

    Frequencies are guessed from places: they fall about as one over the rank.

    Args:
        problem: One matrix's problem.
        spelled: The bytes.
        at_end: Whether tokens are to end in them, not to begin with them.
    """
    base, poor = problem.base, set(problem.poor.tolist())
    wanted = set(spelled)
    sizes = sorted({len(token) for token in wanted})
    found: dict[bytes, dict[int, float]] = {token: {} for token in wanted}
    ordinary = np.isin(base.kinds, (Kind.NORMAL, Kind.BYTE, Kind.ADDED))
    for rank, token in enumerate(np.flatnonzero(ordinary).tolist(), start=1):
        own = base.tokens[token]
        if token in poor or token >= len(problem.base_rows):
            continue
        for size in sizes[: np.searchsorted(sizes, len(own), side="right")]:
            part = own[len(own) - size :] if at_end else own[:size]
            if part in wanted and not (problem.hidden and size == len(own)):
                found[part][token] = 1.0 / rank
    return [normal(found[token]) for token in spelled]


def normal(weights: Parts) -> Parts:
    """The same weights, of sum 1."""
    whole = sum(weights.values())
    return {token: weight / whole for token, weight in weights.items()}


def mixed(own: Parts, others: Parts, share: float) -> Parts:
    """A share of some and the rest of others; all of those there are where the others lack."""
    if not own or not others:
        return own or others
    found = {token: (1 - share) * weight for token, weight in own.items() if share < 1}
    for token, weight in others.items():
        if share > 0:
            found[token] = found.get(token, 0.0) + share * weight
    return found
