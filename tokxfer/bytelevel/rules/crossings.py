"""Which pieces lose to a segmentation that passes over their beginning: all at once.

Such a segmentation has one piece that crosses the beginning: it starts with the last characters
before it, and ends with the first of the piece that loses. What is lost then is the piece's score;
what is needed instead is the best segmentation of its other characters. For every beginning of a
piece the pieces that have it are sorted by that difference, so that those that lose are a run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tokxfer.bytelevel.rules.lattice import FRESH, Lattice, OpenEnd
from tokxfer.bytelevel.rules.rule import Mask
from tokxfer.shapes import Int

ROUNDING = 1e-12  # of sums, relative; what is closer is worked out exactly
LAST = "\U0010ffff"


class Crossings:
    """Pieces that may be the last ones of the best segmentation, behind a given end.

    Args:
        lattice: All pieces, whether text may become them or not.
        names: The piece of every id; "" for ids that no text becomes.
    """

    def __init__(self, lattice: Lattice, names: Sequence[str]) -> None:
        self.lattice, self.names = lattice, names
        self._suffixes: dict[str, float] = {"": 0.0}
        self._scale = 1e3 + max(map(abs, lattice.scores.values())) * lattice.longest
        self._ids = [token for token, name in enumerate(names) if name]
        self._pieces = sorted(lattice.scores)
        self._pairs()
        self._rests()

    def best(self, open_end: OpenEnd) -> Mask:
        """Whether each id [ids] would be the last piece, were it to follow."""
        scores, end = open_end.scores, len(open_end.text)
        tolerance = ROUNDING * (self._scale + abs(scores[end]))
        nodes, gains = [], []
        for start in range(end):
            tail = open_end.text[start:]
            first = bisect_right(self._pieces, tail)
            last = bisect_left(self._pieces, tail + LAST, lo=first)
            node = self._rest[self._rest_at[first:last] + len(tail)]
            gain = self._scores[first:last] + (scores[start] - scores[end] + tolerance)
            telling = gain >= self._least[node]
            nodes.append(node[telling])
            gains.append(gain[telling])
        found = self._surely.copy()
        near = self._unsure
        if nodes:
            beaten, close = self._losers(np.concatenate(nodes), np.concatenate(gains), tolerance)
            found[beaten] = False
            near = np.concatenate([near, close[found[close]]])
        for token in set(near.tolist()):
            found[token] = self.lattice.extended(open_end, self.names[token]) is not None
        return found

    def _losers(
        self, nodes: Int[np.ndarray, " crossing"], gains: npt.NDArray[np.float64], tolerance: float
    ) -> tuple[Int[np.ndarray, " losers"], Int[np.ndarray, " near"]]:
        """The ids that lose to crossing pieces, and those that are too close to tell.

        Args:
            nodes: Of what is left of each crossing piece.
            gains: What it is worth more than what it replaces, at most.
            tolerance: Half of how far that may be from what it is worth.
        """
        first = self._starts[nodes]
        below, above = (
            np.searchsorted(self._keys, nodes * self._width + np.searchsorted(self._costs, bound))
            for bound in (gains - 2 * tolerance, gains)
        )
        return self._tokens[spread(first, below)], self._tokens[spread(below, above)]

    @property
    def untied(self) -> bool:
        """Whether no piece is worth the same as others with its characters."""
        return not len(self._unsure)

    @cached_property
    def first(self) -> Mask:
        """Whether each id [ids] would be the only piece of its own text."""
        return self.best(FRESH)

    def _pairs(self) -> None:
        """For every beginning of a piece, the pieces that have it, by what they are worth more
        than the best segmentation of their other characters.
        """
        beginnings = {n[:size] for n in self.names for size in range(1, len(n) + 1)}
        self._nodes = {beginning: node for node, beginning in enumerate(sorted(beginnings))}
        nodes, costs, tokens = [], [], []
        self._surely: Mask = np.zeros(len(self.names), dtype=bool)
        unsure = []
        tolerance = ROUNDING * self._scale
        for token in self._ids:
            name = self.names[token]
            score = self.lattice.scores[name]
            for size in range(1, len(name) + 1):
                nodes.append(self._nodes[name[:size]])
                costs.append(score - self._suffix(name[size:]))
                tokens.append(token)
            inside = self._inside(name)
            self._surely[token] = inside < score - tolerance
            if abs(inside - score) <= tolerance:
                unsure.append(token)
        self._unsure = np.array(unsure, dtype=np.int64)
        of_node, cost = np.array(nodes, dtype=np.int64), np.array(costs)
        self._costs = np.sort(cost)
        self._width = len(cost) + 1
        keys = of_node * self._width + np.searchsorted(self._costs, cost)
        order = np.argsort(keys, kind="stable")
        self._keys, self._tokens = keys[order], np.array(tokens, dtype=np.int64)[order]
        self._starts = np.searchsorted(self._keys, np.arange(len(self._nodes)) * self._width)
        self._least = np.append(cost[order][self._starts], np.inf)  # last for what is no node

    def _rests(self) -> None:
        """For every piece, in their order, the node of what is left of it behind each place."""
        sizes = np.array([len(name) for name in self._pieces])
        self._rest_at = np.cumsum(sizes) - sizes
        self._rest = np.array([
            self._nodes.get(name[size:], -1) if size else -1
            for name in self._pieces for size in range(len(name))
        ], dtype=np.int64)  # fmt: skip
        self._scores = np.array([self.lattice.scores[name] for name in self._pieces])

    def _inside(self, name: str) -> float:
        """The best score of some characters cut into two pieces or more; −inf for a single one."""
        found = -np.inf
        for size in range(1, len(name)):
            score = self.lattice.scores.get(name[:size])
            if score is None:
                if size > 1:
                    continue
                score = self.lattice.unknown
            found = max(found, score + self._suffix(name[size:]))
        return found

    def _suffix(self, name: str) -> float:
        """The best score of some characters, in whatever pieces."""
        found = self._suffixes.get(name)
        if found is None:
            whole = self.lattice.scores.get(name)
            if whole is None:
                whole = self.lattice.unknown if len(name) == 1 else -np.inf
            found = self._suffixes[name] = max(whole, self._inside(name))
        return found


def spread(
    first: Int[np.ndarray, " runs"], last: Int[np.ndarray, " runs"]
) -> Int[np.ndarray, " places"]:
    """All places of some runs, one after the other."""
    sizes = last - first
    offsets = np.repeat(first - np.cumsum(sizes) + sizes, sizes)
    return offsets + np.arange(len(offsets))
