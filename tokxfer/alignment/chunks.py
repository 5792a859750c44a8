"""The finest segmentation that two tokenizations of the same texts share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokxfer.shapes import Int

NONE = -1  # the chunk of a token that is in none


@dataclass(frozen=True, eq=False)
class Chunks:
    """Which chunk each token of two sides belongs to.

    Attributes:
        left: [batch, left_tokens] chunk of each token, `NONE` for those in none.
        right: [batch, right_tokens] the same on the other side.
        ends: [batch, chunks] byte at which each chunk ends; 0 behind a text's last one.
        counts: [batch] chunks of each text.
    """

    left: Int[np.ndarray, "batch left_tokens"]
    right: Int[np.ndarray, "batch right_tokens"]
    ends: Int[np.ndarray, "batch chunks"]
    counts: Int[np.ndarray, " batch"]


def chunks_of(
    left: Int[np.ndarray, "batch left_tokens"],
    right: Int[np.ndarray, "batch right_tokens"],
) -> Chunks:
    """Chunks from the bytes at which tokens end.

    Args:
        left: [batch, left_tokens] byte of the text at which each token ends, never falling within
            a row but for tokens without a place in the text, which have 0. A token that ends
            within a character whose bytes cannot be told apart has minus the end of the next one
            that does not: it ends no chunk, and belongs to that of the other.
        right: [batch, right_tokens] the same on the other side.

    Returns:
        Tokens that end behind the last common byte are in no chunk.
    """
    size = 1 + max(int(np.abs(side).max(initial=0)) for side in (left, right))
    common = ended(left, size) & ended(right, size)
    before = np.cumsum(common, axis=1, dtype=np.int32)  # chunks that end at a byte or earlier
    counts = before[:, -1]
    ends = np.zeros((len(left), int(counts.max(initial=0))), dtype=np.int32)
    rows, places = np.nonzero(common)
    ends[rows, before[rows, places] - 1] = places
    sides = [numbered(side, before, counts) for side in (left, right)]
    return Chunks(sides[0], sides[1], ends, counts)


def ended(ends: Int[np.ndarray, "batch tokens"], size: int) -> np.ndarray:
    """Whether a token ends at each byte [batch, size]; byte 0 is where nothing ends."""
    found = np.zeros((len(ends), size), dtype=bool)
    rows = np.repeat(np.arange(len(ends)), ends.shape[1])
    found[rows, np.maximum(ends, 0).ravel()] = True
    found[:, 0] = False
    return found


def numbered(
    ends: Int[np.ndarray, "batch tokens"],
    before: Int[np.ndarray, "batch size"],
    counts: Int[np.ndarray, " batch"],
) -> Int[np.ndarray, "batch tokens"]:
    """The chunk that each token's last byte lies in [batch, tokens]."""
    last = np.maximum(np.abs(ends) - 1, 0)  # a chunk that ends at a byte holds the one before
    found = np.take_along_axis(before, last.astype(np.int64), axis=1)
    found[(ends == 0) | (found >= counts[:, None])] = NONE
    return found
