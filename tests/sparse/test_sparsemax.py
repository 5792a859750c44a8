"""Sparsemax is the nearest point of the simplex, found by a slow search for its threshold."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.sparse.test_omp_properties import quickly
from tokxfer.sparse import sparsemax
from tokxfer.sparse.sparsemax import WORK
from tokxfer.workflows.memory import MemoryPeak


def by_bisection(scores: list[float]) -> list[float]:
    """The threshold at which what lies above sums to one, by halving the interval it must be in."""
    low, high = min(scores) - 1, max(scores)
    for _ in range(70):
        middle = (low + high) / 2
        if sum(max(score - middle, 0) for score in scores) > 1:
            low = middle
        else:
            high = middle
    return [max(score - high, 0) for score in scores]


@st.composite
def rows_of_scores(draw: st.DrawFn) -> torch.Tensor:
    """Scores of many sizes, often with equal ones, often all close together as cosines are."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 80))
    scores = torch.randn(shape, generator=random) * draw(st.sampled_from([0.01, 0.3, 1.0, 30.0]))
    scores += draw(st.sampled_from([0.0, 0.9, -50.0]))
    if draw(st.booleans()):
        scores = scores.round(decimals=1)
    return scores


@given(scores=rows_of_scores())
@quickly
def test_shares_are_those_of_a_slow_search(scores: torch.Tensor) -> None:
    expected = torch.tensor([by_bisection(row) for row in scores.tolist()])
    torch.testing.assert_close(sparsemax(scores), expected, rtol=1e-5, atol=2e-6)


@given(scores=rows_of_scores())
@quickly
def test_no_other_shares_are_nearer(scores: torch.Tensor) -> None:
    """At a minimum over the simplex, moving share from one place to another gains nothing."""
    shares = sparsemax(scores).double()
    assert (shares >= 0).all()
    torch.testing.assert_close(
        shares.sum(dim=1), torch.ones(len(scores)).double(), atol=1e-5, rtol=0
    )
    slope = shares - scores.double()  # half the gradient of |p - z|²
    least = slope.amin(dim=1, keepdim=True)
    assert ((slope - least)[shares > 0] <= 1e-5).all()


@given(scores=rows_of_scores(), shift=st.floats(-5, 5))
@quickly
def test_what_is_added_to_a_whole_row_changes_nothing(scores: torch.Tensor, shift: float) -> None:
    torch.testing.assert_close(sparsemax(scores + shift), sparsemax(scores), rtol=0, atol=1e-4)


def test_a_winner_by_one_takes_all_and_equals_share_alike() -> None:
    scores = torch.tensor([[3.0, 2.0, -1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    expected = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    assert torch.equal(sparsemax(scores), expected)


def test_many_close_scores_still_sum_to_one() -> None:
    random = torch.Generator().manual_seed(0)
    scores = 0.95 + 1e-3 * torch.randn(2, 50_000, generator=random)
    shares = sparsemax(scores)
    assert (shares > 0).sum() > 1000
    torch.testing.assert_close(
        shares.double().sum(dim=1), torch.ones(2).double(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shares_keep_the_dtype_of_the_scores(dtype: torch.dtype) -> None:
    assert sparsemax(torch.tensor([[0.5, 0.25]], dtype=dtype)).dtype == dtype


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_more_memory_is_taken_than_is_stated() -> None:
    scores = torch.randn(400, 30_000)
    with MemoryPeak(torch.device("cpu")) as peak:
        sparsemax(scores)
    assert peak.extra_bytes is not None
    again = 100_000_000  # what a long-lived process takes again of what it gave back before
    assert peak.extra_bytes < WORK * scores.numel() + again
