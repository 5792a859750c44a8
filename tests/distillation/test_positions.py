"""Which tokens are compared, against loops over rows and chunks."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokxfer.distillation.positions import (
    earlier,
    first_tokens,
    kth_tokens,
    last_tokens,
    one_to_one,
)

Side = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def batch_of(seed: int) -> tuple[Side, Side, torch.Tensor, int]:
    """Two sides with the same chunks: chunk, final, targets and document of their tokens."""
    source = np.random.default_rng(seed)
    rows = int(source.integers(1, 4))
    counts = source.integers(0, 5, rows)
    chunks = int(counts.max()) + int(source.integers(0, 2))
    left = bool(source.integers(2))
    edge = source.integers(0, 5, rows)  # the chunk with which a row's second document begins
    sides = []
    for _ in range(2):
        lines = []
        for row in range(rows):
            line = [(-1, 0)]
            for chunk in range(counts[row]):
                document = int(chunk >= edge[row])
                if chunk == edge[row]:
                    line += [(-1, 1)]  # the first token of a document is no target
                line += [(chunk, document)] * int(source.integers(1, 4))
            lines.append(line)
        longest = max(map(len, lines)) + int(source.integers(0, 3))
        chunk = np.full((rows, longest), -1, np.int32)
        document = np.full((rows, longest), -1, np.int32)
        final = np.zeros((rows, chunks), np.int64)
        for row, line in enumerate(lines):
            low = longest - len(line) if left else 0
            for at, (one, of) in enumerate(line, low):
                chunk[row, at], document[row, at] = one, of
                if one >= 0:
                    final[row, one] = at
        sides.append(tuple(map(torch.from_numpy, (chunk, final, chunk >= 0, document))))
    return sides[0], sides[1], torch.from_numpy(counts.astype(np.int32)), chunks


def tokens_of(chunk: torch.Tensor, row: int, which: int) -> list[int]:
    return [t for t in range(chunk.shape[1]) if chunk[row, t] == which]


@settings(deadline=None)
@given(st.integers(0, 100_000))
def test_firsts_lasts_and_what_stands_before_them_are_those_of_loops(seed: int) -> None:
    (chunk, final, _, _), _, counts, chunks = batch_of(seed)
    values = torch.randn(chunk.shape, dtype=torch.float64)
    tokens = chunk.shape[1]
    firsts, lasts, sums = [], [], []
    for row, count in enumerate(counts.tolist()):
        for which in range(count):
            found = tokens_of(chunk, row, which)
            firsts.append(row * tokens + found[0])
            lasts.append(row * tokens + found[-1])
            sums.append(float(values[row, found[:-1]].sum()))
    assert first_tokens(chunk, counts, chunks).tolist() == firsts
    assert last_tokens(final, counts, tokens).tolist() == lasts
    found_sums = earlier(values, chunk, final, counts)
    torch.testing.assert_close(found_sums, torch.tensor(sums, dtype=torch.float64))


@settings(deadline=None)
@given(st.integers(0, 100_000))
def test_pairs_of_single_tokens_are_those_of_loops(seed: int) -> None:
    (left, *_), (right, *_), counts, chunks = batch_of(seed)
    expected = []
    for row, count in enumerate(counts.tolist()):
        for which in range(count):
            one, other = (tokens_of(side, row, which) for side in (left, right))
            if len(one) == len(other) == 1:
                expected.append((row * left.shape[1] + one[0], row * right.shape[1] + other[0]))
    teacher, student = one_to_one(left, right, counts, chunks)
    assert list(zip(teacher.tolist(), student.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(st.integers(0, 100_000))
def test_kth_targets_are_paired_within_their_document_up_to_the_shorter_side(seed: int) -> None:
    (_, _, one, one_document), (_, _, other, other_document), _, _ = batch_of(seed)
    expected = []
    for row in range(len(one)):
        for document in range(2):
            ranked = [
                [
                    row * targets.shape[1] + t
                    for t in range(targets.shape[1])
                    if targets[row, t] and documents[row, t] == document
                ]
                for targets, documents in ((one, one_document), (other, other_document))
            ]
            expected += list(zip(*ranked, strict=False))
    teacher, student = kth_tokens(one, other, one_document, other_document)
    assert list(zip(teacher.tolist(), student.tolist(), strict=True)) == expected


def test_gradients_reach_the_earlier_tokens_of_chunks_and_no_others() -> None:
    chunk = torch.tensor([[-1, 0, 0, 1, 2, 2, 2]], dtype=torch.int32)
    values = torch.zeros(1, 7, requires_grad=True)
    counts = torch.tensor([3], dtype=torch.int32)
    earlier(values, chunk, torch.tensor([[2, 3, 6]]), counts).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0, 1, 0, 0, 1, 1, 0]]
