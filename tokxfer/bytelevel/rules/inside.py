"""Tokens that go on within a character."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from tokxfer.bytelevel.rules.characters import continues
from tokxfer.shapes import Int

CONTINUATIONS = range(0x80, 0xC0)  # bytes that are not a character's first


class InsideTokens:
    """The tokens of a vocabulary by the bytes of a character that has begun.

    Args:
        tokens: The bytes of every id.
        ids: Those that count.
    """

    def __init__(self, tokens: Sequence[bytes], ids: Int[np.ndarray, " some"]) -> None:
        found: dict[int, list[int]] = {byte: [] for byte in CONTINUATIONS}
        for token in ids.tolist():
            if tokens[token] and tokens[token][0] in CONTINUATIONS:
                found[tokens[token][0]].append(token)
        self._by_byte = {byte: np.array(row, dtype=np.int64) for byte, row in found.items()}
        self.behind = cache(self._behind)

    def _behind(self, rest: bytes) -> Int[np.ndarray, " tokens"]:
        """The tokens that go on with a character of which some bytes are there."""
        rows = [row for byte, row in self._by_byte.items() if rest and continues(rest, byte)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *rows])
