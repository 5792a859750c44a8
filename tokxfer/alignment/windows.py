"""Texts cut into windows that both models can read, packed into rows, and rows into batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokxfer.alignment.batches import AlignedBatch, SideBatch, Text
from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.sides import Pair, Side
from tokxfer.shapes import Bool, Int


def cut(pair: Pair, teacher_length: int, student_length: int) -> list[Pair]:
    """Cut a text into windows, as long as both sides allow, where chunks end.

    Each begins with the side's begin token, if texts do, so that its first token of text is a
    target. Without one that token is none, and its chunk is no target on either side. A chunk too
    long for a window is left out, and so is a window without a target on either side: how many
    chunks, `left_out` says.

    Args:
        pair: A whole text.
        teacher_length: Tokens of a window, of the teacher's.
        student_length: Tokens of a window, of the student's.

    Returns:
        The windows in order; the text itself if it is short enough.
    """
    sides, lengths = (pair.teacher, pair.student), (teacher_length, student_length)
    if all(len(side.ids) <= length for side, length in zip(sides, lengths, strict=True)):
        return [pair] if any(side.trained.any() for side in sides) else []
    count = len(pair.sizes)
    bounds = [bounds_of(side, count) for side in sides]
    whole = (pair.last >= 0) | (pair.sizes == 0)  # chunks behind which no character goes on
    found, low = [], 0
    while low < count:
        reached = [
            reach(bound, low, length - (low > 0 and side.begin is not None))
            for side, bound, length in zip(sides, bounds, lengths, strict=True)
        ]
        high = min(reached)
        if high == low:
            low += 1
            continue
        behind = low + 1 + np.flatnonzero(whole[low:high])
        high = int(behind[-1]) if len(behind) else high
        window = window_of(pair, low, high, bounds)
        if window.teacher.trained.any() or window.student.trained.any():
            found.append(window)
        low = high
    return found


def left_out(pair: Pair, windows: Sequence[Pair]) -> int:
    """How many chunks of a text are in none of the windows that it was cut into."""
    return len(pair.sizes) - sum(len(window.sizes) for window in windows)


def bounds_of(side: Side, count: int) -> Int[np.ndarray, " bounds"]:
    """The token at which each chunk begins [chunks + 1]: behind the one before; last the length.

    What belongs to no chunk goes with the chunk behind it, and with the last one at the end.
    """
    bounds = np.zeros(count + 1, dtype=np.int64)
    placed = np.flatnonzero(side.chunk != NONE)
    bounds[side.chunk[placed] + 1] = placed + 1
    bounds[count] = len(side.ids)
    return bounds


def reach(bounds: Int[np.ndarray, " bounds"], low: int, length: int) -> int:
    """The chunk behind the last one that a window of some tokens holds, from chunk `low`."""
    stop = bounds[low] + min(length, int(bounds[-1]))  # some lengths are as large as numbers get
    return int(np.searchsorted(bounds, stop, side="right")) - 1


def window_of(pair: Pair, low: int, high: int, bounds: Sequence[np.ndarray]) -> Pair:
    """The window of some chunks of a text, whose tokens begin at each side's `bounds`."""
    teacher, student = (
        part(side, int(bound[low]), int(bound[high]), low)
        for side, bound in zip((pair.teacher, pair.student), bounds, strict=True)
    )
    start, stop = int(pair.sizes[:low].sum()), int(pair.sizes[:high].sum())
    return Pair(
        teacher=teacher,
        student=student,
        sizes=pair.sizes[low:high],
        last=pair.last[low:high],
        text=pair.text[start:] if high == len(pair.sizes) else pair.text[start:stop],
        begins=pair.begins and low == 0,
        number=pair.number,
    )


def part(side: Side, start: int, stop: int, low: int) -> Side:
    """A window of a side, whose first chunk is chunk `low` of the text."""
    ids, chunk = side.ids[start:stop], side.chunk[start:stop]
    chunk = np.where(chunk == NONE, NONE, chunk - low).astype(np.int32)
    trained = side.trained[start:stop].copy()
    said = None if side.said is None else side.said[start:stop]
    if start and side.begin is not None:
        ids = np.append(side.begin, ids)
        chunk = np.append(np.int32(NONE), chunk)
        trained = np.append(False, trained)
        said = None if said is None else np.pad(said, ((1, 0), (0, 0)))
    trained[0] = False
    return Side(ids, chunk, trained, side.begin, said)


def pack(pairs: Sequence[Pair], teacher_length: int, student_length: int) -> list[list[Pair]]:
    """Put texts and windows into rows, in order: each into the last row, if it has room.

    Args:
        pairs: In order.
        teacher_length: Tokens of a row, of the teacher's.
        student_length: Tokens of a row, of the student's.

    Raises:
        ValueError: A pair is longer than a row.
    """
    rows: list[list[Pair]] = []
    room = (0, 0)  # tokens left in the last row
    for pair in pairs:
        sizes = (len(pair.teacher.ids), len(pair.student.ids))
        if sizes[0] > teacher_length or sizes[1] > student_length:
            raise ValueError(f"A pair of {sizes} tokens is longer than a row: cut it first.")
        if not rows or sizes[0] > room[0] or sizes[1] > room[1]:
            rows.append([])
            room = (teacher_length, student_length)
        rows[-1].append(pair)
        room = (room[0] - sizes[0], room[1] - sizes[1])
    return rows


def collate(
    rows: Sequence[Sequence[Pair]], teacher_pad: int, student_pad: int, side: str = "right"
) -> AlignedBatch:
    """Pad rows of packed pairs to one length a side.

    Args:
        rows: Pairs of each row: `pack`'s, or one pair a row.
        teacher_pad: Id that fills the teacher's side.
        student_pad: Id that fills the student's side.
        side: Where to fill, "right" or "left".
    """
    if side not in ("right", "left"):
        raise ValueError(f"Padding is right or left, not {side!r}.")
    kept = [[targets(pair) for pair in row] for row in rows]
    counts = np.array([sum(int(one.sum()) for one in row) for row in kept], dtype=np.int32)
    shape = (len(rows), int(counts.max(initial=0)))
    sizes, last = np.zeros(shape, dtype=np.int32), np.full(shape, -1, dtype=np.int32)
    for at, (row, masks) in enumerate(zip(rows, kept, strict=True)):
        for table, values in ((sizes, "sizes"), (last, "last")):
            parts = [getattr(pair, values)[mask] for pair, mask in zip(row, masks, strict=True)]
            table[at, : counts[at]] = np.concatenate(parts) if parts else 0
    return AlignedBatch(
        teacher=side_batch("teacher", rows, kept, shape[1], teacher_pad, side),
        student=side_batch("student", rows, kept, shape[1], student_pad, side),
        counts=counts,
        sizes=sizes,
        last=last,
        texts=[[Text(pair.text, pair.begins) for pair in row] for row in rows],
    )


def targets(pair: Pair) -> Bool[np.ndarray, " chunks"]:
    """Which chunks of a pair have nothing but targets on both sides [chunks]."""
    found = np.ones(len(pair.sizes), dtype=bool)
    for side in (pair.teacher, pair.student):
        found[side.chunk[(side.chunk != NONE) & ~side.trained]] = False
    return found


def side_batch(
    name: str,
    rows: Sequence[Sequence[Pair]],
    kept: Sequence[Sequence[Bool[np.ndarray, " chunks"]]],
    chunks: int,
    pad: int,
    padding: str,
) -> SideBatch:
    """One side of a batch.

    Args:
        name: The side's, in a pair.
        rows: Pairs of each row.
        kept: [chunks] of each pair, those that are there.
        chunks: Most of any row.
        pad: Id that fills.
        padding: Where it does.
    """
    sides = [[getattr(pair, name) for pair in row] for row in rows]
    longest = max((sum(len(side.ids) for side in row) for row in sides), default=0)
    shape = (len(rows), longest)
    ids, document = np.full(shape, pad, dtype=np.int64), np.full(shape, -1, dtype=np.int32)
    chunk, trained = np.full(shape, NONE, dtype=np.int32), np.zeros(shape, dtype=bool)
    final = np.zeros((len(rows), chunks), dtype=np.int64)
    asked = all(side.said is not None for row in sides for side in row)
    said = np.zeros((*shape, 2), dtype=np.float32) if asked else None
    for at, row in enumerate(sides):
        low = longest - sum(len(side.ids) for side in row) if padding == "left" else 0
        before = 0
        for number, (side, mask) in enumerate(zip(row, kept[at], strict=True)):
            here = slice(low, low + len(side.ids))
            label = np.append(np.where(mask, np.cumsum(mask) - 1 + before, NONE), NONE)
            ids[at, here], document[at, here], trained[at, here] = side.ids, number, side.trained
            chunk[at, here] = label[side.chunk]  # that of −1 is the last
            if said is not None:
                said[at, here] = side.said
            low, before = here.stop, before + int(mask.sum())
        placed = np.flatnonzero(chunk[at] != NONE)
        final[at, chunk[at, placed]] = placed  # the last one of each stays
    return SideBatch(ids, document, chunk, trained, final, said)
