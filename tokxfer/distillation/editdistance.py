"""The nearest byte strings of a vocabulary, by Levenshtein distance, exactly.

Two strings at distance one become the same by taking at most one byte from each: a table of what
strings become finds such neighbours at once. For the strings without one, the bytes that two
strings do not share bound their distance from below, for all pairs in one matrix product; only
pairs whose bound is no larger than a distance that was found already are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

PAIRS = 2**16  # compared at once, so that a line of their table stays in cache
BOUNDS = 2**22  # bounds held at once
FEW = 16  # tokens of smallest bound that are looked at first, for a distance to begin with
COUNTED = 3  # of more equal bytes in a string, so many are told apart by the bounds


def nearest_tokens(queries: Sequence[bytes], tokens: Sequence[bytes]) -> tuple[Ints, Ints]:
    """The token nearest to each query, the first of those that are as near.

    Args:
        queries: Byte strings.
        tokens: Byte strings, at least one.

    Returns:
        [queries] place among the tokens, and how many bytes are to be changed, put in or taken out.

    Raises:
        ValueError: There are no tokens.
    """
    if not len(tokens):
        raise ValueError("nothing is nearest among no tokens")
    best = Best(queries, tokens)
    best.look_at(*_one_apart(queries, tokens))
    far = np.flatnonzero(best.distance > 1)
    strings = [*tokens, *(queries[i] for i in far.tolist())]
    counted, sizes = _byte_counts(strings), np.array([len(each) for each in strings], np.float32)
    step = max(1, BOUNDS // len(tokens))
    for low in range(0, len(far), step):
        block = far[low : low + step]
        asked = slice(len(tokens) + low, len(tokens) + low + len(block))
        bounds = _bounds(counted[asked], counted[: len(tokens)], sizes[asked], sizes[: len(tokens)])
        few = min(FEW, len(tokens)) - 1
        first = np.argpartition(bounds, few, axis=1)[:, : few + 1]
        best.look_at(np.repeat(block, few + 1), first.ravel())
        near = bounds <= best.distance[block, None].astype(np.float32)
        rows, places = np.nonzero(near)
        best.look_at(block[rows], places)
    return best.place, best.distance


class Best:
    """The nearest token of every query so far.

    Attributes:
        place: [queries] its place.
        distance: [queries] how far it is.
    """

    def __init__(self, queries: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        self._queries, self._tokens = padded(queries), padded(tokens)
        self.place = np.full(len(queries), len(tokens), dtype=np.int64)
        self.distance = np.full(len(queries), np.iinfo(np.int64).max // 2)

    def look_at(self, queries: Ints, tokens: Ints) -> None:
        """Compare pairs of a query and a token, by their places."""
        (text, sizes), (other, other_sizes) = self._queries, self._tokens
        order = np.argsort(np.maximum(sizes[queries], other_sizes[tokens]), kind="stable")
        for low in range(0, len(order), PAIRS):
            left, right = queries[order[low : low + PAIRS]], tokens[order[low : low + PAIRS]]
            mine, theirs = sizes[left], other_sizes[right]
            cut = text[:, : int(mine.max())], other[:, : int(theirs.max())]
            found = levenshtein(cut[0][left], mine, cut[1][right], theirs)
            rank = np.lexsort((right, found, left))  # nearest first, then lowest, of each query
            left, right, found = left[rank], right[rank], found[rank]
            first = np.append(True, left[1:] != left[:-1])
            left, right, found = left[first], right[first], found[first]
            better = (found < self.distance[left]) | (
                (found == self.distance[left]) & (right < self.place[left])
            )
            self.place[left[better]] = right[better]
            self.distance[left[better]] = found[better]


def levenshtein(
    left: npt.NDArray[np.uint8], left_sizes: Ints, right: npt.NDArray[np.uint8], right_sizes: Ints
) -> Ints:
    """Distances of pairs of byte strings: fewest bytes changed, put in or taken out.

    Args:
        left: [pairs, longest] bytes, whatever behind the end.
        left_sizes: [pairs] bytes of each.
        right: [pairs, longest] the same of the other side.
        right_sizes: [pairs].
    """
    pairs = len(left)
    width, height = int(right_sizes.max(initial=0)), int(left_sizes.max(initial=0))
    columns = np.ascontiguousarray(right.T)
    rows = np.ascontiguousarray(left.T)
    line = np.repeat(np.arange(width + 1, dtype=np.int16)[:, None], pairs, axis=1)
    found = np.where(left_sizes == 0, right_sizes, 0)
    at = np.arange(pairs)
    for i in range(1, height + 1):
        diagonal = line[0].copy()
        line[0] = i
        for j in range(1, width + 1):
            changed = diagonal + (rows[i - 1] != columns[j - 1])
            diagonal = line[j].copy()
            np.minimum(line[j], line[j - 1], out=line[j])
            line[j] += 1
            np.minimum(line[j], changed, out=line[j])
        ends = left_sizes == i
        if ends.any():
            found[ends] = line[right_sizes[ends], at[ends]]
    return found


def padded(strings: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Bytes [strings, longest], zeros behind each end, and sizes."""
    sizes = np.array([len(each) for each in strings], dtype=np.int64)
    longest = int(sizes.max(initial=0))
    joined = b"".join(each.ljust(longest, b"\0") for each in strings)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(strings), longest), sizes


def _one_apart(queries: Sequence[bytes], tokens: Sequence[bytes]) -> tuple[Ints, Ints]:
    """Pairs that taking at most one byte from each makes equal, all at distance one among them."""
    table: dict[bytes, list[int]] = {}
    for place, query in enumerate(queries):
        for less in _shortened(query):
            table.setdefault(less, []).append(place)
    found: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        near = {query for less in _shortened(token) for query in table.get(less, ())}
        found.extend((query, place) for query in near)
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _shortened(text: bytes) -> set[bytes]:
    return {text, *(text[:at] + text[at + 1 :] for at in range(len(text)))}


def _bounds(
    asked: npt.NDArray[np.float32],
    known: npt.NDArray[np.float32],
    asked_sizes: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """What the distance of every query [queries] and token [tokens] is at least.

    An edit adds at most one of the things that are counted, and takes away at most one.

    Args:
        asked: [queries, things] whether a query has a thing.
        known: [tokens, things] whether a token has it.
        asked_sizes: [queries] bytes.
        sizes: [tokens] bytes.
    """
    found: npt.NDArray[np.float32] = asked @ known.T
    more = known.sum(1) - asked.sum(1, keepdims=True)  # of the two numbers the larger one counts
    np.maximum(more, 0, out=more)
    more += asked.sum(1, keepdims=True)
    np.subtract(more, found, out=found)
    np.subtract(sizes, asked_sizes[:, None], out=more)
    np.abs(more, out=more)
    np.maximum(found, more, out=found)
    return found


def _byte_counts(strings: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """Whether each string has a byte once, twice, … [strings, 256·COUNTED]: an edit changes one."""
    data, sizes = padded(strings)
    counts = np.zeros((len(strings), 256), dtype=np.int16)
    for at in range(data.shape[1]):
        inside = np.flatnonzero(sizes > at)
        counts[inside, data[inside, at]] += 1
    levels = [counts > level for level in range(COUNTED)]
    kept = [level[:, level.any(0)] for level in levels]
    return np.concatenate(kept, axis=1).astype(np.float32)
