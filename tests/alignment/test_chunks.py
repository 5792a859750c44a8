"""Chunks of two tokenizations, against sets of common ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokxfer.alignment.chunks import NONE, chunks_of

Row = list[int]
Text = tuple[int, Row, Row]  # its size and both sides' ends


@st.composite
def row(draw: st.DrawFn, size: int) -> Row:
    """Ends of tokens in a text, some without a place, some whose place nobody knows."""
    ends = sorted(draw(st.lists(st.integers(1, size), max_size=12))) if size else []
    found: Row = []
    for end in ends:
        kind = draw(st.sampled_from(["end", "end", "end", "within", "none"]))
        if kind == "none":
            found.append(0)
        found.append(-end if kind == "within" else end)
    while found and found[-1] < 0:
        found.pop()
    for at in range(len(found) - 1):  # what lies within lies within the next one that ends
        if found[at] < 0:
            found[at] = -next(e for e in found[at + 1 :] if e > 0)
    return found


@st.composite
def text(draw: st.DrawFn) -> Text:
    size = draw(st.integers(0, 30))
    return size, draw(row(size)), draw(row(size))


def slow(left: Row, right: Row) -> tuple[Row, Row, Row]:
    """Chunks by sets: the common ends, and for each token the first of them not before it."""
    common = sorted({e for e in left if e > 0} & {e for e in right if e > 0})

    def number(end: int) -> int:
        behind = [at for at, byte in enumerate(common) if byte >= abs(end)]
        return behind[0] if end != 0 and behind else NONE

    return [number(end) for end in left], [number(end) for end in right], common


def moved(rows: list[Row], starts: list[int]) -> np.ndarray:
    """Ends in bytes of all texts together."""
    return np.array(
        [
            0 if end == 0 else end + (start if end > 0 else -start)
            for row, start in zip(rows, starts, strict=True)
            for end in row
        ],
        dtype=np.int64,
    )


@given(st.lists(text(), min_size=1, max_size=5))
def test_chunks_are_those_of_the_common_ends(texts: list[Text]) -> None:
    starts = np.concatenate([[0], np.cumsum([size for size, _, _ in texts])])
    sides = [moved([text[side] for text in texts], starts[:-1].tolist()) for side in (1, 2)]
    found = chunks_of(sides[0], sides[1], starts)
    expected = [slow(left, right) for _, left, right in texts]
    assert found.left.tolist() == [one for left, _, _ in expected for one in left]
    assert found.right.tolist() == [one for _, right, _ in expected for one in right]
    for at, (_, _, common) in enumerate(expected):
        here = slice(found.first[at], found.first[at + 1])
        assert (found.ends[here] - starts[at]).tolist() == common
        assert found.sizes[here].tolist() == np.diff([0, *common]).tolist()


def test_nothing_is_in_no_chunk() -> None:
    found = chunks_of(np.zeros(0, dtype=np.int64), np.array([3, 0]), np.array([0, 3, 3]))
    assert found.left.tolist() == []
    assert found.right.tolist() == [NONE, NONE]
    assert found.first.tolist() == [0, 0, 0]
    assert found.ends.tolist() == found.sizes.tolist() == []
