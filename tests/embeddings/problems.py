"""Problems over small tokenizers of two families, with rows drawn at random."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from tests.families import FAMILIES
from tokxfer.embeddings import Problem, pose
from tokxfer.vocabulary import ByteVocabulary, match

WIDTHS = (24, 20)


def draw(rows: int, width: int, seed: int) -> torch.Tensor:
    """Normal rows [rows, width] around a mean that is not zero."""
    noise = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return torch.from_numpy(noise) + 0.3


@cache
def vocabulary(family: str) -> ByteVocabulary:
    """A small vocabulary of a family, trained once."""
    return ByteVocabulary.from_tokenizer(FAMILIES[family]())


def make_problem(base: str, donor: str, *, weights: bool = True, **options: Any) -> Problem:
    """The input matrix of a base family, to be rebuilt for a donor family."""
    base_vocabulary, donor_vocabulary = vocabulary(base), vocabulary(donor)
    return pose(
        options.pop("matrix", "input"),
        draw(base_vocabulary.size, WIDTHS[0], 1),
        draw(donor_vocabulary.size, WIDTHS[1], 2) if weights else None,
        base_vocabulary,
        donor_vocabulary,
        match(base_vocabulary, donor_vocabulary),
        **options,
    )
