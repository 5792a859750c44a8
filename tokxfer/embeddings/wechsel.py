"""`wechsel`: a missing token is a mean of the base's tokens that stand in like words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from tokxfer.embeddings.fitted import (
    check_seen,
    check_unseen,
    corpus_of,
    directions,
    with_unseen,
)
from tokxfer.embeddings.mean import empty_map
from tokxfer.embeddings.problem import Ids, Problem, Solution, Training
from tokxfer.embeddings.tokenadapt import check_options, compressed, softmax, spellings
from tokxfer.shapes import Bool, Float, Int
from tokxfer.vocabulary import ByteVocabulary, Origin, VocabularyMap


@dataclass(frozen=True)
class Wechsel:
    """The k nearest of all the base's tokens, in a space of words that both vocabularies share.

    Words are fitted on text; a token's vector is the mean of the vectors of the words that its
    vocabulary spells with it, each as often as it occurs. Weights are softmax(cos / temperature)
    over the k nearest tokens, and the same for both matrices.

    Args:
        k: Neighbours.
        temperature: How evenly they count; lower gives the nearest more.
        unseen: Rows of tokens that no word has: "gaussian" draws them around the mean row,
            "pieces" takes the means of their pieces.
        min_count: Occurrences in the text below which a word has no vector.
        epochs: Times the text is read.
        dim: Numbers in a vector.
        negatives: Random words that every word is told apart from.

    Raises:
        UsageError: An option is out of range.

    Source: Minixhofer et al., "WECHSEL: Effective initialization of subword embeddings for
    cross-lingual transfer of monolingual language models" (2112.06598), section 3, for word vectors
    without n-grams. Both vocabularies are of one text here, so that there is nothing to align.
    """

    name: ClassVar[str] = "wechsel"
    needs: ClassVar[frozenset[str]] = frozenset({"text"})
    k: int = 10
    temperature: float = 0.1
    unseen: str = "gaussian"
    min_count: int = 10
    epochs: int = 3
    dim: int = 100
    negatives: int = 10

    def __post_init__(self) -> None:
        check_options(temperature=self.temperature, k=self.k)
        check_unseen(self.unseen)
        self.training(0)

    def training(self, seed: int) -> Training:
        """How the vectors are fitted."""
        return Training(self.dim, self.epochs, self.negatives, self.min_count, seed)

    def solve(self, problem: Problem) -> Solution:
        """One weighted mean of neighbours per missing token."""
        corpus, missing = corpus_of(problem), problem.missing
        if len(missing) == 0:
            return Solution(empty_map(problem, Origin.NEIGHBOURS))
        words, counts, vectors = corpus.word_vectors(self.training(problem.seed))
        found, targets = in_word_space(problem.donor, words, counts, vectors)
        known, keys = in_word_space(problem.base, words, counts, vectors)
        ids = spellings(problem)
        ids = ids[known[ids]]
        check_seen(len(ids), "token of the base", self.min_count)
        seen = found[missing]
        learned = self.means(problem, missing[seen], targets[missing[seen]], ids, keys[ids])
        return with_unseen(problem, seen, learned, self.unseen)

    def means(
        self,
        problem: Problem,
        tokens: Ids,
        targets: Float[np.ndarray, "seen dim"],
        ids: Ids,
        keys: Float[np.ndarray, "known dim"],
    ) -> VocabularyMap:
        """Weighted means of the neighbours of `targets` among `keys`, never of the same bytes."""
        near, cosines = nearest(targets, keys, min(self.k + 1, len(ids)))
        near = ids[near]
        spelled = [problem.donor.tokens[token] for token in tokens.tolist()]
        itself = np.array([(*problem.base.ids_of(s), -1)[0] for s in spelled], dtype=np.int64)
        own = near == itself[:, None]  # when held out
        order = np.argsort(own, axis=1, kind="stable")[:, : self.k]
        kept = ~np.take_along_axis(own, order, axis=1)
        counts = kept.sum(axis=1)
        rows = np.repeat(np.arange(len(tokens)), counts)
        likeness = np.take_along_axis(cosines, order, axis=1)[kept]
        return compressed(
            len(problem.base_rows),
            counts,
            np.take_along_axis(near, order, axis=1)[kept],
            softmax(likeness / self.temperature, rows),
            np.where(counts > 0, Origin.NEIGHBOURS, Origin.MEAN),
        )


def in_word_space(
    vocabulary: ByteVocabulary,
    words: Sequence[bytes],
    counts: Int[np.ndarray, " words"],
    vectors: Float[np.ndarray, "words dim"],
) -> tuple[Bool[np.ndarray, " tokens"], Float[npt.NDArray[np.float32], "tokens dim"]]:
    """Which ids of a vocabulary some word is spelled with, and the directions of the words' means.

    A word counts once for a token that it has twice.
    """
    sums = np.zeros((vocabulary.size, vectors.shape[1]))
    weights = np.zeros(vocabulary.size)
    for row, pieces in enumerate(vocabulary.pieces_batch(words)):
        own = np.unique(np.array(pieces, dtype=np.int64))
        sums[own] += counts[row] * vectors[row]
        weights[own] += counts[row]
    return weights > 0, directions(sums)


def nearest(
    targets: Float[np.ndarray, "seen dim"], keys: Float[np.ndarray, "known dim"], k: int
) -> tuple[Int[Ids, "seen k"], Float[npt.NDArray[np.float32], "seen k"]]:
    """Places of the k keys nearest to each target by cosine, nearest first, and the cosines."""
    if len(targets) == 0:
        return np.zeros((0, k), dtype=np.int64), np.zeros((0, k), dtype=np.float32)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="cosine").fit(keys)
    distances, places = search.kneighbors(targets)
    return places, (1 - distances).astype(np.float32)
