"""Rows that training hardly touched are found by bytes that no text contains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.families import byte_level, unigram
from tokxfer.embeddings import undertrained_rows
from tokxfer.embeddings.undertrained import reference_rows
from tokxfer.vocabulary import ByteVocabulary


def vocabulary() -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(byte_level())


def test_the_references_are_bytes_outside_utf8_and_padding() -> None:
    known = reference_rows(vocabulary().size + 2, vocabulary())
    spelled = [vocabulary().tokens[i] for i in known if i < vocabulary().size]
    assert sorted(spelled) == sorted(bytes([b]) for b in (0xC0, 0xC1, *range(0xF5, 0x100)))
    assert known[-2:].tolist() == [vocabulary().size, vocabulary().size + 1]


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_rows_left_at_initialization_are_found_and_trained_ones_are_not(drift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    size = vocabulary().size
    rows = 0.02 * torch.randn(size, 64, generator=generator) + drift
    trained = np.ones(size, dtype=bool)
    trained[reference_rows(size, vocabulary())] = False
    trained[300:310] = False  # tokens that no training text contained
    rows[torch.from_numpy(trained)] += 0.2 * torch.randn(
        int(trained.sum()), 64, generator=generator
    )
    assert np.array_equal(undertrained_rows(rows, vocabulary()), ~trained)


def test_without_references_nothing_is_distrusted() -> None:
    plain = ByteVocabulary.from_tokenizer(unigram())
    assert len(reference_rows(plain.size, plain)) < 3
    assert not undertrained_rows(torch.zeros(plain.size, 8), plain).any()
