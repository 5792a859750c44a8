"""Sums over chunks are those that loops find."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokxfer.distillation.chunksums import at_ends, chunk_sums, valid_chunks


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 10_000), batch=st.integers(0, 3), tokens=st.integers(0, 9))
def test_sums_are_those_of_a_loop(seed: int, batch: int, tokens: int) -> None:
    source = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, tokens, generator=source, dtype=torch.float64)
    chunk = torch.randint(-1, 4, (batch, tokens), generator=source)
    expected = torch.zeros(batch, 4, dtype=torch.float64)
    for row in range(batch):
        for token in range(tokens):
            if chunk[row, token] >= 0:
                expected[row, chunk[row, token]] += values[row, token]
    torch.testing.assert_close(chunk_sums(values, chunk, 4), expected)


def test_gradients_reach_the_tokens_of_chunks_and_no_others() -> None:
    chunk = torch.tensor([[-1, 0, 0, 2], [1, -1, 1, 0]])
    values = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: chunk_sums(given, chunk, 3), values)
    (slope,) = torch.autograd.grad(chunk_sums(values, chunk, 3).sum(), values)
    assert torch.equal(slope, (chunk >= 0).double())


def test_values_in_no_chunk_may_be_anything() -> None:
    values = torch.tensor([[float("nan"), 1.0, float("-inf")]], requires_grad=True)
    sums = chunk_sums(values, torch.tensor([[-1, 0, -1]]), 2)
    assert sums.tolist() == [[1.0, 0.0]]
    sums.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_half_precision_is_summed_in_single() -> None:
    """256 + 1 is 256 in bfloat16."""
    values = torch.tensor([[256.0, 1.0]], dtype=torch.bfloat16)
    assert chunk_sums(values, torch.zeros(1, 2, dtype=torch.int32), 1).tolist() == [[257.0]]


def test_ends_are_taken_row_by_row_with_their_channels() -> None:
    values = torch.arange(12.0).view(2, 3, 2)
    final = torch.tensor([[0, 2], [1, 0]])
    assert at_ends(values, final).tolist() == [[[0, 1], [4, 5]], [[8, 9], [6, 7]]]
    assert at_ends(values[..., 0], final).tolist() == [[0, 4], [8, 6]]


def test_chunks_before_a_rows_count_are_valid() -> None:
    assert valid_chunks(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]
