"""Longest match first: which pieces may not go on with a word, since a longer one would match.

A piece is taken where no longer one goes on with the word's characters. As long as its own
characters and those behind it are the beginning of a longer piece, they are open: what follows
must not complete that one. Whatever completes it begins with the characters that are missing, and
all pieces that do so are a run in the order of their characters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask
from tokxfer.shapes import Int

LAST = "\U0010ffff"


class LongestMatch:
    """Continuing pieces behind open characters.

    Args:
        pieces: All pieces, those that begin a word with a space before them.
        going_on: The continuing piece of every id; "" for ids that cannot go on with a word.
    """

    def __init__(self, pieces: Iterable[str], going_on: Sequence[str]) -> None:
        self._pieces = sorted(set(pieces))
        self._known = frozenset(self._pieces)
        self._beginnings = {name[:size] for name in self._pieces for size in range(1, len(name))}
        ids = [token for token, name in enumerate(going_on) if name]
        self._ids = np.array(sorted(ids, key=going_on.__getitem__), dtype=np.int64)
        self._size = len(going_on)
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for place, token in enumerate(self._ids.tolist()):
            for size in range(1, len(going_on[token]) + 1):
                beginning = going_on[token][:size]
                first.setdefault(beginning, place)
                last[beginning] = place + 1
        rests = [name[size:] for name in self._pieces for size in range(len(name))]
        self._first = np.array([first.get(rest, 0) for rest in rests], dtype=np.int64)
        self._last = np.array([last.get(rest, 0) for rest in rests], dtype=np.int64)
        sizes = np.array([len(name) for name in self._pieces], dtype=np.int64)
        self._at: Int[np.ndarray, " pieces"] = np.cumsum(sizes) - sizes

    def begun(self, piece: str) -> frozenset[str]:
        """What is open behind a piece, as far as it goes by itself."""
        return frozenset({piece} & self._beginnings)

    def extended(self, begun: frozenset[str], piece: str) -> frozenset[str] | None:
        """What is open behind one more piece; None if it completes a longer one."""
        found = set(self.begun(piece))
        for beginning in begun:
            for size in range(1, len(piece) + 1):
                longer = beginning + piece[:size]
                if longer in self._known:
                    return None
                if longer not in self._beginnings:
                    break
            else:
                found.add(beginning + piece)
        return frozenset(found)

    def completing(self, begun: frozenset[str]) -> Mask:
        """Whether each id [ids] completes a longer piece."""
        covered = np.zeros(len(self._ids) + 1, dtype=np.int64)
        for beginning in begun:
            low = bisect_right(self._pieces, beginning)
            high = bisect_left(self._pieces, beginning + LAST, lo=low)
            places = self._at[low:high] + len(beginning)
            covered += np.bincount(self._first[places], minlength=len(covered))
            covered -= np.bincount(self._last[places], minlength=len(covered))
        found: Mask = np.zeros(self._size, dtype=bool)
        found[self._ids] = np.cumsum(covered)[:-1] > 0
        return found
