"""A text whose vectors are drawn from what they stand for, so that no library is needed."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cache

import numpy as np

from tests.embeddings.problems import make_problem, vocabulary
from tokxfer.embeddings import Problem, Training
from tokxfer.vocabulary import ByteVocabulary

WIDTH = 12


@cache
def drawn(text: bytes) -> np.ndarray:
    """A vector [WIDTH] of a length of its own, around a mean that is not zero."""
    seed = int(hashlib.sha256(text).hexdigest()[:8], 16)
    random = np.random.default_rng(seed)
    return ((random.standard_normal(WIDTH) + 0.5) * random.uniform(0.2, 5)).astype(np.float32)


def rare(text: bytes, share: int = 5) -> bool:
    """Whether the text has too few of something; one in `share` it has."""
    return hashlib.sha256(b"rare" + text).digest()[0] % share == 0


class Drawn:
    """Vectors of tokens by id, and of the words given.

    Attributes:
        asked: The settings of every fit asked for.
    """

    def __init__(self, words: list[bytes]) -> None:
        self.words = words
        self.asked: list[Training] = []

    def token_vectors(
        self, vocabulary: ByteVocabulary, training: Training
    ) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(training)
        ids = [i for i in vocabulary.text_ids.tolist() if not rare(b"%d" % i)]
        rows = [drawn(b"%d" % i) for i in ids]
        return np.array(ids, dtype=np.int64), np.array(rows, dtype=np.float32)

    def word_vectors(self, training: Training) -> tuple[list[bytes], np.ndarray, np.ndarray]:
        self.asked.append(training)
        counts = np.array([1 + len(word) ** 2 % 7 for word in self.words], dtype=np.int64)
        return self.words, counts, np.array([drawn(word) for word in self.words])


def with_corpus(base: str, donor: str, **options: object) -> Problem:
    """A problem without donor weights; its text has most tokens of both vocabularies as words."""
    tokens = {t for name in (base, donor) for t in vocabulary(name).tokens if t}
    words = sorted(t for t in tokens if not rare(t, 2))
    problem = make_problem(base, donor, weights=False, **options)
    return dataclasses.replace(problem, corpus=Drawn(words))
