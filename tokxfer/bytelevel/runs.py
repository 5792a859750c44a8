"""A vocabulary as a trie, met lazily: what tokens that begin alike go on with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tokxfer.bytelevel.order import ByteOrder
from tokxfer.shapes import Int


@dataclass(frozen=True, eq=False)
class Run:
    """The tokens that begin with some bytes: a run of places in the vocabulary's order.

    Those that are these bytes come first; the others follow, those with the same next byte
    together.

    Attributes:
        order: The vocabulary by bytes.
        first, last: The run's places, the last one excluded.
        depth: How many bytes all of them begin with.
    """

    order: ByteOrder
    first: int
    last: int
    depth: int = 0

    @cached_property
    def exact(self) -> list[int]:
        """The ids of the tokens that are just these bytes."""
        return self.order.exactly(self.first, self.last, self.depth)

    @cached_property
    def longer(self) -> int:
        """The place of the first token that goes on."""
        return self.first + len(self.exact)

    @cached_property
    def values(self) -> Int[np.ndarray, " branches"]:
        """The bytes with which tokens go on, ascending."""
        return self._branches[0]

    @cached_property
    def starts(self) -> Int[np.ndarray, " branches"]:
        """Where those of each next byte begin."""
        return self._branches[1]

    @cached_property
    def below(self) -> dict[int, Run]:
        """The run behind each next byte."""
        ends = [*self.starts[1:].tolist(), self.last]
        bounds = zip(self.values.tolist(), self.starts.tolist(), ends, strict=True)
        return {v: Run(self.order, start, end, self.depth + 1) for v, start, end in bounds}

    @cached_property
    def _branches(self) -> tuple[Int[np.ndarray, " branches"], Int[np.ndarray, " branches"]]:
        following = self.order.next_bytes(self.longer, self.last, self.depth)
        starts = np.flatnonzero(np.diff(following, prepend=-1))
        return following[starts], self.longer + starts
