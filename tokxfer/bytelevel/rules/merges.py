"""Byte-pair encoding run on many strings at once, and how every token comes about by merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tokxfer.shapes import Int

ATOM = -1  # the rank of what no merge makes
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class MergeTable:
    """The merges of a BPE model by id, in the order in which they are preferred.

    Attributes:
        size: Number of ids.
        left, right, made: [merges] the two tokens of every merge and the one it makes.
    """

    size: int
    left: Int[np.ndarray, " merges"]
    right: Int[np.ndarray, " merges"]
    made: Int[np.ndarray, " merges"]

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]], ids: Mapping[str, int]) -> MergeTable:
        """The table of a model's merges, most preferred first, given by name.

        Of a merge that is listed twice the later place counts, as it does in `tokenizers`.
        """
        last = {pair: rank for rank, pair in enumerate(pairs)}
        ranked = sorted(last, key=last.__getitem__)
        found = [(ids[a], ids[b], ids[a + b]) for a, b in ranked]
        columns = np.array(found, dtype=np.int64).reshape(-1, 3).T
        return cls(max(ids.values(), default=-1) + 1, *columns)

    @cached_property
    def lookup(self) -> tuple[Int[np.ndarray, " merges"], Int[np.ndarray, " merges"]]:
        """Keys left · size + right in ascending order, and the rank of each."""
        keys = self.left * self.size + self.right
        order = np.argsort(keys, kind="stable")
        return keys[order], order


@dataclass(frozen=True, eq=False)
class Derivations:
    """How each token comes about when its own bytes are encoded.

    Attributes:
        left, right: [ids] the parts of its last merge; −1 for atoms.
        rank: [ids] that merge's rank; −1 for atoms.
        clock: [ids] the largest rank of all its merges: a merge waits for those ranked before it,
            so that a token can come about no earlier than this; −1 for atoms.
        reachable: [ids] whether its own bytes become it at all.
    """

    left: Int[np.ndarray, " ids"]
    right: Int[np.ndarray, " ids"]
    rank: Int[np.ndarray, " ids"]
    clock: Int[np.ndarray, " ids"]
    reachable: np.ndarray

    @classmethod
    def of(cls, table: MergeTable, atoms: Mapping[int, Sequence[int]]) -> Derivations:
        """The derivations of tokens given as the atoms that they are encoded from, by id."""
        count = table.size
        left, right = np.full(count, -1), np.full(count, -1)
        rank, clock = np.full(count, ATOM), np.full(count, ATOM)
        reachable = np.zeros(count, dtype=bool)
        by_length: dict[int, list[int]] = {}
        for token, parts in atoms.items():
            by_length.setdefault(len(parts), []).append(token)
        for tokens in by_length.values():
            rows = np.array([atoms[token] for token in tokens], dtype=np.int64)
            ids = np.array(tokens)
            final, last, latest = encode_rows(table, rows)
            whole = (final[:, 0] == ids) & ((final[:, 1:] < 0).all(axis=1))
            reachable[ids] = whole
            by_merge = whole & (last >= 0)
            merged, merge = ids[by_merge], last[by_merge]
            left[merged], right[merged] = table.left[merge], table.right[merge]
            rank[merged], clock[merged] = merge, latest[by_merge]
        return cls(left, right, rank, clock, reachable)


def encode_rows(
    table: MergeTable, rows: Int[np.ndarray, "rows length"]
) -> tuple[Int[np.ndarray, "rows length"], Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Merge in every row, again and again, the leftmost pair of the best rank.

    Args:
        table: The merges.
        rows: Atoms; all rows are of one length.

    Returns:
        The tokens, −1 behind the last one; the rank of the last merge and the largest rank of all
        merges of every row, −1 where there was none.
    """
    keys, ranks = table.lookup
    rows = rows.copy()
    last = np.full(len(rows), ATOM, dtype=np.int64)
    latest = last.copy()
    active = np.arange(len(rows) if len(keys) else 0)
    for width in range(rows.shape[1], 1, -1):  # of the rows that were merged every time
        here = rows[active, :width]
        wanted = here[:, :-1] * table.size + here[:, 1:]
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where(keys[places] == wanted, ranks[places], NEVER)
        at = found.argmin(axis=1)
        best = found[np.arange(len(active)), at]
        going = best < NEVER
        active, here, at, best = active[going], here[going], at[going], best[going]
        if not len(active):
            break
        shifted = np.concatenate([here[:, 1:], np.full((len(here), 1), -1)], axis=1)
        here = np.where(np.arange(width) > at[:, None], shifted, here)
        here[np.arange(len(here)), at] = table.made[best]
        rows[active, :width] = here
        last[active] = best
        latest[active] = np.maximum(latest[active], best)
    return rows, last, latest
