"""The finest segmentation that two tokenizations of the same texts share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokxfer.shapes import Int

NONE = -1  # the chunk of a token that is in none


@dataclass(frozen=True, eq=False)
class Chunks:
    """Which chunk each token of two sides belongs to, for texts one behind another.

    Attributes:
        left: [left_tokens] chunk of each token, counted from 0 in every text; `NONE` for those in
            none.
        right: [right_tokens] the same on the other side.
        ends: [chunks] byte of all texts together at which each chunk ends.
        sizes: [chunks] bytes of each.
        first: [texts + 1] the place in `ends` of each text's first chunk, and behind the last.
    """

    left: Int[np.ndarray, " left_tokens"]
    right: Int[np.ndarray, " right_tokens"]
    ends: Int[np.ndarray, " chunks"]
    sizes: Int[np.ndarray, " chunks"]
    first: Int[np.ndarray, " bounds"]


def chunks_of(
    left: Int[np.ndarray, " left_tokens"],
    right: Int[np.ndarray, " right_tokens"],
    starts: Int[np.ndarray, " bounds"],
) -> Chunks:
    """Chunks from the bytes at which tokens end.

    Args:
        left: [left_tokens] byte of all texts together at which each token ends, never falling but
            for tokens without a place in the text, which have 0. A token that ends where nobody can
            tell has minus the end of the next one of which it is known: it ends no chunk, and
            belongs to that of the other.
        right: [right_tokens] the same on the other side.
        starts: [texts + 1] byte at which each text begins, and the last one ends.

    Returns:
        Tokens that end behind a text's last common byte are in no chunk.
    """
    size = int(starts[-1])
    common = ended(left, size) & ended(right, size)
    bounds = common.copy()
    bounds[starts[1:]] = True  # no chunk reaches into the next text
    bounds[0] = False
    before = np.cumsum(bounds, dtype=np.int32)  # bounds at a byte or earlier
    places = np.flatnonzero(bounds)
    shared = common[places]
    ends = places[shared]
    first = np.searchsorted(ends, starts, side="right")
    label = np.full(len(places) + 1, NONE, dtype=np.int32)
    label[:-1][shared] = np.arange(len(ends)) - np.repeat(first[:-1], np.diff(first))
    sides = [numbered(side, before, label) for side in (left, right)]
    return Chunks(sides[0], sides[1], ends, np.diff(places, prepend=0)[shared], first)


def ended(ends: Int[np.ndarray, " tokens"], size: int) -> np.ndarray:
    """Whether a token ends at each byte [size + 1]; byte 0 is where nothing ends."""
    found = np.zeros(size + 1, dtype=bool)
    found[np.maximum(ends, 0)] = True
    found[0] = False
    return found


def numbered(
    ends: Int[np.ndarray, " tokens"],
    before: Int[np.ndarray, " places"],
    label: Int[np.ndarray, " bounds"],
) -> Int[np.ndarray, " tokens"]:
    """The chunk that each token's last byte lies in [tokens]."""
    last = np.maximum(np.abs(ends) - 1, 0)  # a chunk that ends at a byte holds the one before
    found: Int[np.ndarray, " tokens"] = label[before[last]]
    found[ends == 0] = NONE
    return found
