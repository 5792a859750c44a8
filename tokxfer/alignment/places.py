"""Where the tokens of a text end, in bytes of the text itself.

Where a tokenizer leaves a text as it is, the bytes of its tokens say so, and that they are the text
is checked. Elsewhere its offsets do, which are of characters of the text before normalization: what
was composed away belongs to the token before, and of tokens that share a character those whose
bytes do not show where they end have no end of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from tokxfer.alignment.hidden import tokenizer_of_text
from tokxfer.shapes import Bool, Int
from tokxfer.vocabulary import ByteVocabulary, Kind


@dataclass(frozen=True, eq=False)
class Places:
    """The tokens of texts, one text behind another, and where they end.

    Attributes:
        ids: [tokens] ids.
        ends: [tokens] byte of all texts together at which each ends; 0 without a place in the text,
            minus the next known end for one of which nobody can tell: see `chunks_of`.
        first: [texts + 1] the place of each text's first token, and behind the last.
        told: [texts] whether the tokens' own bytes are the text's.
    """

    ids: Int[np.ndarray, " tokens"]
    ends: Int[np.ndarray, " tokens"]
    first: Int[np.ndarray, " bounds"]
    told: Bool[np.ndarray, " texts"]


class Placer:
    """Tokenizes texts and places their tokens.

    All of a text is text: what spells a special token is spelled by others.

    Args:
        vocabulary: The tokenizer's.

    Attributes:
        unknown: The id that stands for text without a token; −1 without one.
    """

    def __init__(self, vocabulary: ByteVocabulary) -> None:
        self.vocabulary = vocabulary
        self.unknown = vocabulary.roles.get("unk", -1)
        special = (vocabulary.kinds == Kind.SPECIAL) | (vocabulary.kinds == Kind.UNUSED)
        self._spelled = [
            b"" if hidden else token
            for token, hidden in zip(vocabulary.tokens, special.tolist(), strict=True)
        ]
        self._sizes = np.array([len(token) for token in self._spelled])

    def encode(self, texts: Sequence[str]) -> list[Any]:
        """The tokenizer's encodings of texts, without what a post-processor would add.

        Args:
            texts: Any, also empty ones.
        """
        if self.vocabulary.normalizes:
            return list(self._plain.encode_batch(list(texts), add_special_tokens=False))
        return list(self._plain.encode_batch_fast(list(texts), add_special_tokens=False))

    def with_offsets(self, text: str) -> Any:
        """The tokenizer's encoding of one text, with its offsets."""
        return self._plain.encode(text, add_special_tokens=False)

    def spelled(self, token: int) -> bytes:
        """The bytes of text that a token stands for; none for special ones."""
        return self._spelled[token]

    def place(self, texts: Sequence[str]) -> Places:
        """Tokenize texts, and place their tokens."""
        return self.placed(self.encode(texts), [text.encode() for text in texts], texts)

    def placed(self, encoded: Sequence[Any], data: Sequence[bytes], texts: Sequence[str]) -> Places:
        """Place the tokens of texts that `encode` has tokenized.

        Args:
            encoded: What it gave.
            data: The texts in UTF-8.
            texts: The texts.
        """
        rows = [found.ids for found in encoded]
        first = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        ids = np.fromiter(chain.from_iterable(rows), np.int64, int(first[-1]))
        starts = np.concatenate([[0], np.cumsum([len(one) for one in data], dtype=np.int64)])
        spelled = self._spelled.__getitem__
        shifts = [
            spelled_behind(b"".join(map(spelled, row)), one)
            for row, one in zip(rows, data, strict=True)
        ]
        told = np.array([shift is not None for shift in shifts], dtype=bool)
        sizes = self._sizes[ids]
        sums = np.concatenate([[0], np.cumsum(sizes)])
        base = starts[:-1] - sums[first[:-1]] - np.array([shift or 0 for shift in shifts], np.int64)
        count = np.diff(first)
        ends = sums[1:] + np.repeat(base, count)
        ends[sizes == 0] = 0
        for at in np.flatnonzero(~told).tolist():
            found = self.by_offsets(texts[at], encoded[at])
            ends[first[at] : first[at + 1]] = found + np.sign(found) * starts[at]
        begin = np.repeat(starts[:-1], count)
        for at in np.flatnonzero((np.abs(ends) <= begin) & (sizes > 0))[::-1].tolist():
            # A space that is put before a text is of its first chunk.
            behind = at + 1 in first
            ends[at] = 0 if behind else -abs(ends[at + 1])
        return Places(ids, ends, first, told)

    def by_offsets(self, text: str, encoding: Any) -> Int[np.ndarray, " tokens"]:
        """Where the tokens of one text end, from the tokenizer's offsets."""
        if not self.vocabulary.normalizes:  # fast encodings have no offsets
            encoding = self.with_offsets(text)
        row = encoding.ids
        if not row:
            return np.zeros(0, dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(encoding.offsets), np.int64, 2 * len(row))
        first, last, start, stop = clusters(flat[::2], flat[1::2])
        following = np.append(start[1:], len(text))
        points = np.frombuffer((text + " ").encode("utf-32-le"), dtype=np.uint32)
        for at in np.flatnonzero((following > stop) & (points[stop] != ord(" "))).tolist():
            stop[at] = behind_gap(text, int(stop[at]), int(following[at]))
        byte_at = byte_places(text)
        found: Int[np.ndarray, " tokens"] = -np.repeat(byte_at[stop], last - first)
        found[last - 1] *= -1
        return np.where(found < 0, self._within(text, row, (first, last, start, stop)), found)

    def _within(
        self, text: str, row: list[int], groups: tuple[Int[np.ndarray, " clusters"], ...]
    ) -> Int[np.ndarray, " tokens"]:
        """Where tokens that share characters end: as their bytes say, if these are the text's."""
        first, last, start, stop = groups
        byte_at, sizes = byte_places(text), self._sizes[row]
        whole = np.add.reduceat(sizes, first)
        shift = whole - (byte_at[stop] - byte_at[start])
        fits = (shift == 0) | (shift == 1)
        longer = fits & (last - first > 1) & (byte_at[stop] - byte_at[start] > 1)
        for at in np.flatnonzero(longer).tolist():
            parts = b"".join([self._spelled[token] for token in row[first[at] : last[at]]])
            data = text[start[at] : stop[at]].encode()
            fits[at] = spelled_behind(parts, data) is not None
        sums = np.cumsum(sizes)
        base = byte_at[start] - shift - (sums[first] - sizes[first])
        count = last - first
        ends = np.maximum(sums + np.repeat(base, count), 0)
        return np.where(np.repeat(fits, count), ends, -np.repeat(byte_at[stop], count))

    @cached_property
    def _plain(self) -> Any:
        """The tokenizer to which special tokens are text."""
        return tokenizer_of_text(self.vocabulary)


def spelled_behind(spelled: bytes, data: bytes) -> int | None:
    """How many bytes of some tokens stand before a text; None if they do not spell it."""
    if spelled == data:
        return 0
    return 1 if spelled[:1] == b" " and spelled[1:] == data else None


def clusters(
    starts: Int[np.ndarray, " tokens"], stops: Int[np.ndarray, " tokens"]
) -> tuple[Int[np.ndarray, " clusters"], ...]:
    """Tokens whose characters overlap, together.

    Args:
        starts, stops: [tokens] first character of each, and the one behind its last.

    Returns:
        First token and the one behind the last, first character and the one behind the last.
    """
    furthest = np.maximum.accumulate(stops)
    first = np.flatnonzero(np.append(True, starts[1:] >= furthest[:-1]))
    last = np.append(first[1:], len(starts))
    return first, last, np.minimum.reduceat(starts, first), furthest[last - 1]


def behind_gap(text: str, stop: int, following: int) -> int:
    """How far a token goes into characters that are no token's: up to a space."""
    while stop < following and not text[stop].isspace():
        stop += 1
    return stop


def byte_places(text: str) -> Int[np.ndarray, " characters"]:
    """The byte at which each character begins, and last the one at which the text ends."""
    if text.isascii():
        return np.arange(len(text) + 1)
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    sizes = 1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def characters_at(text: str, size: int) -> Int[np.ndarray, " places"]:
    """The code point of the character that ends at each byte [size + 1] of a text; −1 for none."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    found = np.full(size + 1, -1, dtype=np.int64)
    if len(points) == size:
        found[1:] = points
    else:
        widths = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
        found[np.cumsum(widths)] = points
    return found
