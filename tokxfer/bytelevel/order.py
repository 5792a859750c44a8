"""A vocabulary sorted by bytes: tokens that begin alike stand side by side."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tokxfer.shapes import Int


@dataclass(frozen=True, eq=False)
class ByteOrder:
    """The tokens of text in the order of their bytes.

    Args:
        tokens: The bytes of every id; b"" for ids that are not of text.
    """

    tokens: Sequence[bytes]

    @cached_property
    def ids(self) -> Int[np.ndarray, " places"]:
        """The ids of text, sorted by bytes."""
        of_text = [token for token, spelled in enumerate(self.tokens) if spelled]
        return np.array(sorted(of_text, key=self.tokens.__getitem__), dtype=np.int64)

    @cached_property
    def spelled(self) -> list[bytes]:
        """The bytes of every place."""
        return [self.tokens[token] for token in self.ids.tolist()]

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest token."""
        return max(map(len, self.spelled), default=0)

    @cached_property
    def _letters(self) -> Int[np.ndarray, "places bytes"]:
        """Every byte of every place plus one, 0 behind its end."""
        rows = np.zeros((len(self.spelled), self.longest + 1), dtype=np.int16)
        for place, spelled in enumerate(self.spelled):
            rows[place, : len(spelled)] = np.frombuffer(spelled, dtype=np.uint8)
            rows[place, : len(spelled)] += 1
        return rows

    def narrowed(self, first: int, last: int, depth: int, byte: int) -> tuple[int, int]:
        """Of places that agree in `depth` bytes, those with a given byte next."""
        column = self._letters[first:last, depth]
        low, high = np.searchsorted(column, [byte + 1, byte + 2])
        return first + int(low), first + int(high)

    def next_bytes(self, first: int, last: int, depth: int) -> Int[np.ndarray, " places"]:
        """The byte behind the first `depth` of each place; −1 where the token ends there."""
        found: Int[np.ndarray, " places"] = self._letters[first:last, depth].astype(np.int64) - 1
        return found

    def along(self, data: bytes, start: int) -> Iterator[tuple[int, int]]:
        """The runs of places that begin with one, two, … bytes of some data; none is empty."""
        first, last = 0, len(self.ids)
        for depth, byte in enumerate(data[start : start + self.longest]):
            first, last = self.narrowed(first, last, depth, byte)
            if first == last:
                return
            yield first, last

    def exactly(self, first: int, last: int, size: int) -> list[int]:
        """Of places that agree in `size` bytes, the ids of those that end there."""
        found = bisect_left(range(first, last), 1, key=lambda place: self._letters[place, size])
        return [int(token) for token in self.ids[first : first + found]]
