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

from tokxfer.shapes import Bool, Int
from tokxfer.vocabulary import ByteVocabulary, Kind


@dataclass(frozen=True, eq=False)
class Places:
    """The tokens of texts, and where they end.

    Attributes:
        ids: [batch, tokens] ids, −1 behind a text's last.
        ends: [batch, tokens] byte at which each ends; 0 without a place in the text, minus the next
            end for one that ends within a character nobody can cut: see `chunks_of`.
        told: [batch] whether the tokens' own bytes are the text's.
    """

    ids: Int[np.ndarray, "batch tokens"]
    ends: Int[np.ndarray, "batch tokens"]
    told: Bool[np.ndarray, " batch"]


class Placer:
    """Tokenizes texts and places their tokens.

    Args:
        vocabulary: The tokenizer's.
    """

    def __init__(self, vocabulary: ByteVocabulary) -> None:
        self.vocabulary = vocabulary
        special = (vocabulary.kinds == Kind.SPECIAL) | (vocabulary.kinds == Kind.UNUSED)
        self._spelled = [
            b"" if hidden else token
            for token, hidden in zip(vocabulary.tokens, special.tolist(), strict=True)
        ]
        self._sizes = np.array([len(token) for token in self._spelled])

    def place(self, texts: Sequence[str]) -> Places:
        """Tokenize texts, without the special tokens that a post-processor would add.

        Args:
            texts: Any, also empty ones.
        """
        told = {"add_special_tokens": False}
        if self.vocabulary.normalizes:
            encoded = self._plain.encode_batch(list(texts), **told)
        else:
            encoded = self.vocabulary.tokenizer.encode_batch_fast(list(texts), **told)
        return self.placed([found.ids for found in encoded], texts, encoded)

    def placed(
        self,
        rows: Sequence[Sequence[int]],
        texts: Sequence[str],
        encoded: Sequence[Any] | None = None,
    ) -> Places:
        """Place the tokens of texts that are tokenized already, by this very tokenizer.

        Args:
            rows: Ids of each text.
            texts: The texts.
            encoded: What the tokenizer gave, its offsets included where it normalizes.
        """
        longest = max(map(len, rows), default=0)
        ids = np.full((len(rows), longest), -1, dtype=np.int64)
        shifts = np.zeros(len(rows), dtype=np.int64)
        told = np.ones(len(rows), dtype=bool)
        for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
            ids[at, : len(row)] = row
            shift = spelled_behind(b"".join([self._spelled[i] for i in row]), text.encode())
            told[at], shifts[at] = shift is not None, shift or 0
        sizes = np.append(self._sizes, 0)[ids]
        ends = np.maximum(np.cumsum(sizes, axis=1) - shifts[:, None], 0)
        ends[(sizes == 0) | (ids < 0)] = 0
        for at in np.flatnonzero(~told).tolist():
            ends[at] = 0
            known = encoded[at] if encoded is not None and self.vocabulary.normalizes else None
            found = self._by_offsets(texts[at], list(rows[at]), known)
            ends[at, : len(found)] = found
        return Places(ids, ends, told)

    def _by_offsets(self, text: str, row: list[int], known: Any) -> Int[np.ndarray, " tokens"]:
        """Where the tokens of one text end, from the tokenizer's offsets."""
        encoding = known or self._plain.encode(text, add_special_tokens=False)
        if encoding.ids != row:
            raise ValueError("These are not the tokens that the tokenizer makes of the text.")
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
        """The tokenizer without its post-processor, which may move offsets."""
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(self.vocabulary.tokenizer.to_str())
        plain.post_processor = None
        return plain


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
