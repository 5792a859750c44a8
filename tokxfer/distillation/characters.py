"""The characters of tokens, whole ones and ones that a token's end cuts, as numbers that sort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokxfer.shapes import Bool, Int

NO_CHARACTER = -1  # what is no part of a character of UTF-8
LONGEST = 4  # bytes of a character
SIZES = np.zeros(256, dtype=np.int64)  # of the character that a byte begins, 0 where it does not
for _size, (_first, _behind) in enumerate([(0, 0x80), (0xC2, 0xE0), (0xE0, 0xF0), (0xF0, 0xF5)], 1):
    SIZES[_first:_behind] = _size


@dataclass(frozen=True, eq=False)
class Pieces:
    """Tokens cut into characters, one behind another.

    Attributes:
        keys: [pieces] each character, or part of one at a token's start or end; see `key`.
        token: [pieces] which token it is of.
    """

    keys: Int[np.ndarray, " pieces"]
    token: Int[np.ndarray, " pieces"]


def key(data: bytes) -> int:
    """A number for a character or a part of one, which sorts as the bytes do."""
    return int.from_bytes(data.ljust(LONGEST, b"\0"), "big") << 3 | len(data)


def last_of(data: bytes) -> int:
    """The largest number of all that begin with some bytes."""
    return int.from_bytes(data.ljust(LONGEST, b"\xff"), "big") << 3 | 7


def bytes_of(number: int) -> bytes:
    """The bytes that a number stands for."""
    return (number >> 3).to_bytes(LONGEST, "big")[: number & 7]


def pieces_of(tokens: Sequence[bytes]) -> Pieces:
    """Cut tokens before every byte that begins a character."""
    sizes = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
    data = np.frombuffer(b"".join(tokens), dtype=np.uint8)
    token = np.repeat(np.arange(len(tokens)), sizes)
    begins = (data & 0xC0) != 0x80
    begins[(np.cumsum(sizes) - sizes)[sizes > 0]] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(data)))
    padded = np.append(data, np.zeros(LONGEST, dtype=np.uint8)).astype(np.int64)
    keys = np.minimum(lengths, 7)
    for place in range(LONGEST):
        byte = padded[starts + place] * (lengths > place)
        keys |= byte << 3 << 8 * (LONGEST - 1 - place)
    lead = SIZES[data[starts]]
    sound = np.where(lead > 0, lengths <= lead, (data[starts] & 0xC0) == 0x80)
    keys[~sound | (lengths > LONGEST)] = NO_CHARACTER
    return Pieces(keys, token[starts])


def begin_character(keys: Int[np.ndarray, " keys"]) -> Bool[np.ndarray, " keys"]:
    """Whether each is a whole character or the beginning of one."""
    found: Bool[np.ndarray, " keys"] = (keys != NO_CHARACTER) & (_expected(keys) > 0)
    return found


def are_whole(keys: Int[np.ndarray, " keys"]) -> Bool[np.ndarray, " keys"]:
    """Whether each is a whole character."""
    found: Bool[np.ndarray, " keys"] = begin_character(keys) & (_expected(keys) == (keys & 7))
    return found


def _expected(keys: Int[np.ndarray, " keys"]) -> Int[np.ndarray, " keys"]:
    """The bytes of the character that each one's first byte begins; 0 where it does not."""
    found: Int[np.ndarray, " keys"] = SIZES[(keys >> 27) & 0xFF]
    return found


def ranges(
    all_of: Int[np.ndarray, " universe"], keys: Int[np.ndarray, " keys"]
) -> tuple[Int[np.ndarray, " keys"], Int[np.ndarray, " keys"]]:
    """Of sorted keys, the first and the one behind the last that begin with each of some."""
    free = 8 * (LONGEST - np.minimum(keys & 7, LONGEST)) + 3
    behind = keys | ((np.int64(1) << free) - 1)
    return np.searchsorted(all_of, keys), np.searchsorted(all_of, behind, side="right")
