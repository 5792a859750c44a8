"""Which two tokens of a BPE model may stand side by side within one pre-token.

A pair is what the tokenizer itself would write if no merge across the seam fires before the merges
that made either side. Such a merge joins a token a that was once at the right end of the left side
and a token b that was once at the left end of the right side; it fires if both were there at its
turn, that is, before either was used up by its own side's next merge. A sequence is what the
tokenizer would write if all its pairs are.

All the tokens that may not follow a given one are found at once. In the forest in which the left
part of a token's last merge is its parent, tokens that begin their lives with b form a subtree;
with children in the order of when they use b up, those that do so no earlier than a given rank
stand in one run behind b. A merge across the seam thus forbids one run of the forest's order.

A token's clock is the largest rank of its merges. Merges of several tokens take turns by their
clocks, on a tie all of the token further left first, and when one merge is done those ranked before
it that it lets in follow at once. A moment is thus a clock and, for what follows at once, a rank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokxfer.bytelevel.rules.merges import NEVER, Derivations, MergeTable
from tokxfer.shapes import Int

Mask = npt.NDArray[np.bool_]


class PairRule:
    """Tokens that may follow a token without a pre-token's start between them.

    Args:
        table: The model's merges.
        derivations: How every token comes about.
    """

    def __init__(self, table: MergeTable, derivations: Derivations) -> None:
        self.derivations = derivations
        made = derivations
        count = len(table.left)
        used_up = left_used_up(made, count)
        self.positions, ends = forest_order(made.left, used_up)
        self._by_position = np.argsort(self.positions)
        self._unreachable: Mask = ~made.reachable
        self._right_used_up = right_used_up(made, count)
        rank = np.arange(count)
        known = made.reachable[table.left] & made.reachable[table.right]
        ours, theirs = made.clock[table.left], made.clock[table.right]
        turn = np.maximum(rank, np.maximum(ours, theirs))
        # What the left side does at once at the turn of a tie is done before the right side's.
        leaving = moment(turn, np.where(theirs < ours, rank, count), count)
        order = np.lexsort((leaving, table.left))
        order = order[known[order]]
        self._leaving = leaving[order]
        meeting = moment(turn, rank, count)[order]
        self._starts = np.searchsorted(table.left[order], np.arange(table.size + 1))
        second = table.right[order]
        self._from = self.positions[second]
        self._to = run_ends(made.left, used_up, self.positions, ends, second, meeting)

    def forbidden(self, token: int) -> Mask:
        """Whether each id [ids] cannot follow a token: the two would be merged otherwise.

        Ids that no text becomes are forbidden, too.
        """
        found = self._unreachable.copy()
        starts, stops = self._runs(token)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            found[self._by_position[start:stop]] = True
        return found

    def joins(self, left: int, right: Int[np.ndarray, " right"]) -> Mask:
        """Whether each of a few tokens [right], all reachable, may follow a token."""
        starts, stops = self._runs(left)
        places = self.positions[right][:, None]
        covered: Mask = (places >= starts) & (places < stops)
        return np.asarray(~covered.any(axis=1))

    def _runs(self, token: int) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
        """Where the runs of the forest's order begin and end that a token cannot stand before."""
        starts, stops = [], []
        used_up = NEVER
        while token >= 0:
            first, last = self._starts[token], self._starts[token + 1]
            last = first + int(np.searchsorted(self._leaving[first:last], used_up))
            starts.append(self._from[first:last])
            stops.append(self._to[first:last])
            used_up = int(self._right_used_up[token])
            token = int(self.derivations.right[token])
        return np.concatenate(starts), np.concatenate(stops)

    def allows(self, left: int, right: int) -> bool:
        """Whether one token may follow another."""
        return bool(self.derivations.reachable[right]) and bool(
            self.joins(left, np.array([right]))[0]
        )


def moment(
    clock: Int[np.ndarray, " moments"], rank: Int[np.ndarray, " moments"] | int, merges: int
) -> Int[np.ndarray, " moments"]:
    """Clocks and the ranks of what follows at once, from −1 to the number of merges, as numbers."""
    found: npt.NDArray[np.int64] = clock * (merges + 2) + rank + 1
    return found


def left_used_up(made: Derivations, merges: int) -> Int[np.ndarray, " ids"]:
    """The last moment at which a merge across a seam finds a token's [ids] left part.

    A part that came about at the token's own clock is used up at once, and only merges ranked
    before the token's last one come in between; unless the right part has this clock, too: it then
    comes about later, and merges ranked before the clock come in between.
    """
    part, other = (np.where(p >= 0, made.clock[p], -1) for p in (made.left, made.right))
    at_once = (made.clock == part) & (other < part)
    return moment(made.clock, np.where(at_once, made.rank, merges), merges)


def right_used_up(made: Derivations, merges: int) -> Int[np.ndarray, " ids"]:
    """The moment before which a merge across a seam finds a token's [ids] right part.

    A part that came about at the token's own clock is used up at once: the left part was there.
    """
    part = np.where(made.right >= 0, made.clock[made.right], -1)
    return moment(made.clock, np.where(made.clock == part, made.rank, -1), merges)


def forest_order(
    parents: Int[np.ndarray, " ids"], used_up: Int[np.ndarray, " ids"]
) -> tuple[Int[np.ndarray, " ids"], Int[np.ndarray, " ids"]]:
    """Each id's place with parents before children, those that use their parent up last first.

    Returns:
        The places [ids], and the place behind each one's last descendant [ids].
    """
    count = len(parents)
    depth = np.zeros(count, dtype=np.int64)
    above = parents.copy()
    while (above >= 0).any():
        depth += above >= 0
        above = np.where(above >= 0, parents[above], -1)
    sizes = np.ones(count, dtype=np.int64)
    by_depth = [np.flatnonzero(depth == level) for level in range(depth.max(initial=0) + 1)]
    for level in reversed(by_depth[1:]):
        np.add.at(sizes, parents[level], sizes[level])
    places = np.zeros(count, dtype=np.int64)
    roots = by_depth[0]
    places[roots] = np.cumsum(sizes[roots]) - sizes[roots]
    for level in by_depth[1:]:
        order = level[np.lexsort((-used_up[level], parents[level]))]
        behind = np.cumsum(sizes[order]) - sizes[order]
        first = np.searchsorted(parents[order], parents[order])  # the first of its siblings
        places[order] = places[parents[order]] + 1 + behind - behind[first]
    return places, places + sizes


def run_ends(
    parents: Int[np.ndarray, " ids"],
    used_up: Int[np.ndarray, " ids"],
    places: Int[np.ndarray, " ids"],
    ends: Int[np.ndarray, " ids"],
    tokens: Int[np.ndarray, " merges"],
    moments: Int[np.ndarray, " merges"],
) -> Int[np.ndarray, " merges"]:
    """Behind the last of those that begin with a token and do not use it up before a moment.

    A tie counts: of two merges of one rank the one further left comes first.
    """
    children = np.flatnonzero(parents >= 0)
    latest = NEVER - used_up[children]  # ascending as the order is
    children = children[np.lexsort((latest, parents[children]))]
    latest = NEVER - used_up[children]
    first = np.searchsorted(parents[children], tokens)
    last = np.searchsorted(parents[children], tokens, side="right")
    found: npt.NDArray[np.int64] = places[tokens] + 1
    wanted = NEVER - moments
    low, high = first.copy(), last.copy()  # binary search in every run of children at once
    while (low < high).any():
        middle = (low + high) // 2
        inside = low < high
        fits = np.zeros(len(tokens), dtype=bool)
        fits[inside] = latest[middle[inside]] <= wanted[inside]
        low = np.where(inside & fits, middle + 1, low)
        high = np.where(inside & ~fits, middle, high)
    some = low > first
    found[some] = ends[children[low[some] - 1]]
    return found
