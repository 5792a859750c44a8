"""ByteStart: rows of bytes, by a slow sum over the tokens that end or begin with them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from tests.families import FAMILIES
from tokxfer.embeddings import ByteStart, apply_map, pose
from tokxfer.embeddings.problem import Problem
from tokxfer.vocabulary import ByteVocabulary, Kind, match
from tokxfer.vocabulary.reading import from_text
from tokxfer.workflows.bytestudent import byte_tokenizer, kept_specials, special_only


def posed(family: str, matrix: str, **changes: Any) -> Problem:
    base = ByteVocabulary.from_tokenizer(FAMILIES[family]())

    donor = from_text(json.dumps(byte_tokenizer(base, kept_specials(base, [], []))), "bytes", {})
    rows = torch.randn(base.size, 7, generator=torch.Generator().manual_seed(0))
    problem = pose(matrix, rows, None, base, donor, special_only(match(base, donor)))
    return dataclasses.replace(problem, **changes)


def rows_of(problem: Problem, method: ByteStart) -> torch.Tensor:
    found = method.solve(problem)
    assert len(problem.missing) == 256
    return apply_map(found.map, problem.base_rows, mean=torch.full((7,), 99.0))


def slow(problem: Problem, byte: int, at_end: bool, share: float) -> torch.Tensor:
    base, rows = problem.base, problem.base_rows.double()
    own = base.by_bytes.get(bytes([byte]), ())
    total, weight, rank = torch.zeros(7, dtype=torch.float64), 0.0, 0
    for token, spelled in enumerate(base.tokens):
        if base.kinds[token] not in (Kind.NORMAL, Kind.BYTE, Kind.ADDED):
            continue
        rank += 1
        if token not in problem.poor and spelled[-1 if at_end else 0] == byte:
            total, weight = total + rows[token] / rank, weight + 1 / rank
    if not own and not weight:
        return torch.full((7,), 99.0, dtype=torch.float64)
    if not own or not weight:
        return rows[own[0]] if own else total / weight
    return (1 - share) * rows[own[0]] + share * total / weight


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece_bpe", "unigram"])
def test_rows_mix_a_bytes_own_token_and_those_that_end_or_begin_with_it(family: str) -> None:
    method = ByteStart(suffix=0.3, prefix=0.8, calm=0.25)
    for matrix, at_end, share, calm in (("input", True, 0.3, 0.0), ("output", False, 0.8, 0.25)):
        problem = posed(family, matrix, poor=np.array([300]))
        expected = torch.stack([slow(problem, byte, at_end, share) for byte in range(256)])
        expected = (1 - calm) * expected + calm * 99
        torch.testing.assert_close(rows_of(problem, method).double(), expected, rtol=0, atol=1e-4)


def test_a_tied_matrix_takes_half_of_each() -> None:
    method = ByteStart(suffix=0.3, prefix=0.8, calm=0.25)
    sides = [rows_of(posed("byte_level", matrix), method) for matrix in ("input", "output")]
    found = rows_of(posed("byte_level", "tied"), method)
    torch.testing.assert_close(found, sum(sides) / 2, rtol=0, atol=1e-4)  # type: ignore[operator]


def test_nothing_mixed_in_is_the_own_row_alone() -> None:
    problem = posed("byte_level", "input")
    own = torch.tensor([problem.base.ids_of(bytes([byte]))[0] for byte in range(256)])
    assert torch.equal(rows_of(problem, ByteStart(suffix=0.0)), problem.base_rows[own])
    assert ByteStart(suffix=0.0).solve(problem).map.counts() == {"copied": 256}


def test_hidden_tokens_are_not_made_of_themselves() -> None:
    problem = posed("byte_level", "input", hidden=True)
    found = ByteStart().solve(problem).map
    for row, byte in enumerate(range(256)):
        sources = found.indices[found.indptr[row] : found.indptr[row + 1]].tolist()
        assert not set(sources) & set(problem.base.ids_of(bytes([byte])))
