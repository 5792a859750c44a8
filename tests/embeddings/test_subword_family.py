"""The weighted means of pieces equal their formulas, token by token, across tokenizer families."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from tests.embeddings.problems import make_problem
from tests.embeddings.test_methods import CYCLE, ordinary_mean, rebuilt
from tokxfer.embeddings import Asymmetric, Subword, SubwordFirst, SubwordLast, SubwordLength
from tokxfer.embeddings.problem import Problem
from tokxfer.errors import UsageError
from tokxfer.vocabulary import Kind

Weights = Callable[[list[bytes]], list[float]]
FORMULAS: list[tuple[object, Weights]] = [
    (Subword(), lambda pieces: [1.0 for _ in pieces]),
    (SubwordLength(), lambda pieces: [float(len(piece)) for piece in pieces]),
    (SubwordFirst(), lambda pieces: [0.5**i for i in range(len(pieces))]),
    (SubwordFirst(decay=0.0), lambda pieces: [float(i == 0) for i in range(len(pieces))]),
    (SubwordLast(decay=0.25), lambda pieces: [0.25**i for i in range(len(pieces))][::-1]),
    (SubwordLast(decay=1.0), lambda pieces: [1.0 for _ in pieces]),
]


def by_formula(problem: Problem, token: int, weights: Weights) -> torch.Tensor:
    ids = problem.base.readings([problem.donor.tokens[token]])[0]
    if not ids:
        return ordinary_mean(problem)
    counts = torch.tensor(weights([problem.base.tokens[piece] for piece in ids]))
    return (counts[:, None] * problem.base_rows[ids]).sum(dim=0) / counts.sum()


@pytest.mark.parametrize(("method", "weights"), FORMULAS, ids=[str(m) for m, _ in FORMULAS])
@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_a_row_is_the_weighted_mean_of_the_pieces_of_the_bytes(
    base: str, donor: str, method: object, weights: Weights
) -> None:
    problem = make_problem(base, donor, weights=False)
    rows = rebuilt(problem, method)
    for token in problem.missing.tolist():
        torch.testing.assert_close(rows[token], by_formula(problem, token, weights))


def mean_norm(problem: Problem) -> torch.Tensor:
    kinds = problem.base.kinds[: len(problem.base_rows)]
    kept = [i for i, kind in enumerate(kinds) if kind not in (Kind.SPECIAL, Kind.UNUSED)]
    return problem.base_rows[kept].norm(dim=1).mean()


@pytest.mark.parametrize(("base", "donor"), CYCLE)
def test_asymmetric_input_rows_have_the_mean_norm_and_the_direction_of_the_mean(
    base: str, donor: str
) -> None:
    problem = dataclasses.replace(make_problem(base, donor, weights=False), matrix="input")
    rows = rebuilt(problem, Asymmetric())
    for token in problem.missing.tolist():
        expected = by_formula(problem, token, lambda pieces: [1.0 for _ in pieces])
        if problem.base.readings([problem.donor.tokens[token]])[0]:
            expected = expected * mean_norm(problem) / expected.norm()
        torch.testing.assert_close(rows[token], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("matrix", ["output", "tied"])
def test_asymmetric_head_rows_are_weighted_by_length(matrix: str) -> None:
    problem = make_problem("unigram", "byte_level", weights=False)
    problem = dataclasses.replace(problem, matrix=matrix)
    assert torch.equal(rebuilt(problem, Asymmetric()), rebuilt(problem, SubwordLength()))


def test_asymmetric_leaves_a_row_of_length_zero_as_it_is() -> None:
    problem = make_problem("unigram", "byte_level", weights=False)
    zero = torch.zeros_like(problem.base_rows)
    problem = dataclasses.replace(problem, matrix="input", base_rows=zero)
    assert not rebuilt(problem, Asymmetric()).any()


@pytest.mark.parametrize("method", [SubwordFirst, SubwordLast])
@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_decay_that_is_no_share_is_refused(method: type, decay: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        method(decay=decay)
