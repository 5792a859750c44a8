"""Bytes as characters, as far as they are known."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache

import regex

LONGEST = 4  # bytes of a character
ASSIGNED = regex.compile(r"\P{Cn}")  # by tables that are newer than Python's
NEIGHBOURS = {1: 0, 2: 4, 3: 10}  # bits of how many characters, by the bytes that are left to come


def characters(data: bytes) -> tuple[str, bytes]:
    """The characters of some bytes, and those at the end that a character may still come of.

    Bytes that are of no character count as U+FFFD, one for every stretch that could have begun one.
    """
    tail = unfinished(data)
    return data[: len(data) - tail].decode("utf-8", "replace"), data[len(data) - tail :]


def unfinished(data: bytes) -> int:
    """How many bytes at the end begin a character without ending it."""
    for size in range(1, min(LONGEST, len(data) + 1)):
        part = data[-size:]
        if part[0] < 0x80:
            return 0
        if part[0] >= 0xC0:
            return size if may_begin(part) else 0
    return 0


def may_begin(part: bytes) -> bool:
    """Whether some bytes are the beginning, and not the whole, of a character."""
    try:
        part.decode()
    except UnicodeDecodeError as failure:
        return (
            failure.start == 0
            and failure.end == len(part)
            and failure.reason == ("unexpected end of data")
        )
    return False


def continues(rest: bytes, byte: int) -> bool:
    """Whether a byte goes on with a character that has begun."""
    longer = rest + bytes([byte])
    if may_begin(longer):
        return True
    try:
        longer.decode()
    except UnicodeDecodeError:
        return False
    return True


def endings(begun: bytes) -> int:
    """How many characters begin with some bytes that end none."""
    lead, second = begun[0], {0xE0: 32, 0xED: 32, 0xF0: 48, 0xF4: 16}
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else LONGEST
    left = size - len(begun)
    first = second.get(lead, 64) if len(begun) == 1 else 64
    return int(first * 64 ** (left - 1))


@cache
def completions(begun: bytes) -> list[str]:
    """Characters that begin with some bytes that end none: two of every kind.

    Kinds are general categories. A tokenizer may have tables of another version of Unicode than
    Python: characters that have not always been there are of one kind with their neighbours only,
    and with none of them where all that is left to come is a character's last byte.
    """
    left = len(next(beginning(begun)).encode()) - len(begun)
    found: dict[object, list[str]] = {}
    for character in beginning(begun):
        category = unicodedata.category(character)
        old = unicodedata.ucd_3_2_0.category(character) == category != "Cn"
        assigned = category != "Cn" or ASSIGNED.match(character) is not None
        neighbours = None if old or not assigned else ord(character) >> NEIGHBOURS[left]
        met = found.setdefault((category, assigned, neighbours), [])
        met[1:] = [character]
    return [character for met in found.values() for character in met]


def beginning(begun: bytes) -> Iterator[str]:
    """All characters that begin with some bytes that end none."""
    second = {0xE0: b"\xa0", 0xF0: b"\x90"}.get(begun[0], b"\x80")
    size = 2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else LONGEST
    first = (begun + second)[: max(2, len(begun))].ljust(size, b"\x80")
    code = ord(first.decode())
    return map(chr, range(code, code + endings(begun)))
