"""Chunks of two tokenizations, against sets of common ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokxfer.alignment.chunks import NONE, chunks_of

Row = list[int]


@st.composite
def row(draw: st.DrawFn) -> Row:
    """Ends of tokens in a text, some without a place, some whose place nobody knows."""
    ends = sorted(draw(st.lists(st.integers(1, 30), max_size=12)))
    found: Row = []
    for at, end in enumerate(ends):
        kind = draw(st.sampled_from(["end", "end", "end", "within", "none"]))
        if kind == "none":
            found.append(0)
        if kind == "within" and at + 1 < len(ends):
            found.append(-next((e for e in ends[at + 1 :]), end))
        else:
            found.append(end)
    for at in range(len(found) - 1):  # what lies within lies within the next one that ends
        if found[at] < 0:
            found[at] = -next(e for e in found[at + 1 :] if e > 0)
    return found


def slow(left: Row, right: Row) -> tuple[Row, Row, Row]:
    """Chunks by sets: the common ends, and for each token the first of them not before it."""
    common = sorted({e for e in left if e > 0} & {e for e in right if e > 0})

    def number(end: int) -> int:
        behind = [at for at, byte in enumerate(common) if byte >= abs(end)]
        return behind[0] if end != 0 and behind else NONE

    return [number(end) for end in left], [number(end) for end in right], common


def batch(rows: list[Row]) -> np.ndarray:
    longest = max(map(len, rows), default=0)
    return np.array([row + [0] * (longest - len(row)) for row in rows], dtype=np.int64).reshape(
        len(rows), longest
    )


@given(st.lists(st.tuples(row(), row()), min_size=1, max_size=5))
def test_chunks_are_those_of_the_common_ends(pairs: list[tuple[Row, Row]]) -> None:
    found = chunks_of(batch([left for left, _ in pairs]), batch([right for _, right in pairs]))
    for at, (left, right) in enumerate(pairs):
        expected_left, expected_right, common = slow(left, right)
        assert found.left[at, : len(left)].tolist() == expected_left
        assert found.right[at, : len(right)].tolist() == expected_right
        assert (found.left[at, len(left) :] == NONE).all()
        assert found.counts[at] == len(common)
        assert found.ends[at, : len(common)].tolist() == common
        assert (found.ends[at, len(common) :] == 0).all()


def test_nothing_is_in_no_chunk() -> None:
    found = chunks_of(np.zeros((2, 0), dtype=np.int64), np.array([[3], [0]]))
    assert found.left.shape == (2, 0)
    assert found.right.tolist() == [[NONE], [NONE]]
    assert found.counts.tolist() == [0, 0]
    assert found.ends.shape == (2, 0)
