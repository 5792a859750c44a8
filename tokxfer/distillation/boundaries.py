"""Sets of tokens that surely begin something new behind a chunk, by which outcomes are debiased.

A tokenizer that ends a token where a chunk ends says that the text does not go on with what would
have made the token longer; another would have said so of other texts. Times the mass of a set of
tokens that no token of either side could have been joined with, both speak of the same event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tokxfer.distillation.adjacency import Adjacency
from tokxfer.distillation.characters import key, ranges
from tokxfer.shapes import Bool, Int
from tokxfer.vocabulary import ByteVocabulary, Kind

SIDES = ("teacher", "student")


class Boundaries(ABC):
    """Boundary sets of two vocabularies.

    Args:
        teacher: The teacher's vocabulary.
        student: The student's.
    """

    @abstractmethod
    def __init__(self, teacher: ByteVocabulary, student: ByteVocabulary) -> None: ...

    @abstractmethod
    def side(self, name: str) -> Sets:
        """The sets of "teacher" or "student", in its own tokens."""

    @abstractmethod
    def numbers(self, last: Int[Tensor, "*places"]) -> Int[Tensor, "*places"]:
        """The number of the set behind each chunk, -1 for none, which is behind special tokens.

        Args:
            last: Code point of the last character of each chunk; -1 where it has none.
        """


class Sets(ABC):
    """Sets of a vocabulary's tokens, by number."""

    @abstractmethod
    def members(
        self, which: Int[Tensor, " unique"], start: int, stop: int
    ) -> Bool[Tensor, "unique columns"]:
        """Whether each token from `start` to `stop` is in each of some sets."""


class Whitespace(Boundaries):
    """The paper's: tokens whose first character is white space, and special ones, everywhere.

    The sets are nearly empty in scripts without spaces, where chunks are joined until one ends
    before a space.
    """

    def __init__(self, teacher: ByteVocabulary, student: ByteVocabulary) -> None:
        self._sides = dict(zip(SIDES, map(_Spaces, (teacher, student)), strict=True))

    def side(self, name: str) -> Sets:
        """The set of one side."""
        return self._sides[name]

    def numbers(self, last: Int[Tensor, "*places"]) -> Int[Tensor, "*places"]:
        """0 behind every character."""
        return last.clamp(max=0)


class _Spaces(Sets):
    def __init__(self, vocabulary: ByteVocabulary) -> None:
        spaces = [_begins_with_space(token) for token in vocabulary.tokens]
        texts = np.isin(vocabulary.kinds, (Kind.SPECIAL, Kind.UNUSED), invert=True)
        self._members = torch.from_numpy(texts & np.array(spaces) | ending(vocabulary))

    def members(
        self, which: Int[Tensor, " unique"], start: int, stop: int
    ) -> Bool[Tensor, "unique columns"]:
        """The one set there is, as often as it is asked for."""
        self._members = self._members.to(which.device)
        return self._members[start:stop].expand(len(which), -1)


class Learned(Boundaries):
    """Tokens that begin with a character that no token of either vocabulary holds behind another.

    The set depends on the character that a chunk ends with, and works in scripts without spaces
    alike. A token that begins with a part of a character is in it if all its characters may be.
    Special tokens are, too.
    """

    def __init__(self, teacher: ByteVocabulary, student: ByteVocabulary) -> None:
        self._held = [Adjacency(vocabulary) for vocabulary in (teacher, student)]
        keys = set().union(*(side.beginnings() for side in self._held))
        self.universe: Int[np.ndarray, " universe"] = np.array(sorted(keys), dtype=np.int64)
        for side in self._held:
            side.within(self.universe)
        self._ranges = ranges(self.universe, self.universe)
        self._known: dict[int, np.ndarray] = {}
        self._sides = {
            name: _Beginning(self, side) for name, side in zip(SIDES, self._held, strict=True)
        }

    def side(self, name: str) -> Sets:
        """The sets of one side; both allow the same characters."""
        return self._sides[name]

    def numbers(self, last: Int[Tensor, "*places"]) -> Int[Tensor, "*places"]:
        """The code points themselves."""
        return last

    def allowed(self, point: int) -> Bool[np.ndarray, " universe"]:
        """Whether tokens surely end between a character and each of the universe.

        Args:
            point: Its code point.
        """
        if point not in self._known:
            held = np.logical_or(*(side.held(chr(point)) for side in self._held))
            sums = np.append(0, held.cumsum())
            first, behind = self._ranges
            self._known[point] = np.packbits(sums[behind] == sums[first])
        return np.unpackbits(self._known[point], count=len(self.universe)).astype(bool)

    def surely(self, before: str, behind: str) -> bool:
        """Whether tokens of both sides end between two characters, wherever they stand."""
        wanted = key(behind.encode())
        at = int(np.searchsorted(self.universe, wanted))
        if at == len(self.universe) or self.universe[at] != wanted:
            return False
        return bool(self.allowed(ord(before))[at])


class _Beginning(Sets):
    """One side's tokens by what they begin with.

    A set is a row over the universe, and over what else tokens begin with: `always`, `never`, and
    words of a vocabulary that does not say whether they stand behind a space.
    """

    def __init__(self, both: Learned, side: Adjacency) -> None:
        self._both, self._side = both, side
        size = len(both.universe)
        always, never, self._words = size, size + 1, size + 2
        vocabulary = side.vocabulary
        place = np.searchsorted(both.universe, side.first)
        found = both.universe[np.minimum(place, size - 1)] == side.first
        place = np.where(found, place, never)
        self._space = int(np.searchsorted(both.universe, key(b" ")))
        if vocabulary.spelling.continuation is not None:
            for token in np.flatnonzero(side.first == key(b" ")).tolist():
                begins = key(vocabulary.tokens[token][1:].decode()[:1].encode())
                place[token] = self._words + int(np.searchsorted(both.universe, begins))
        place[ending(vocabulary)] = always
        self._place = torch.from_numpy(place)
        self._last: tuple[Tensor, Tensor] | None = None

    def members(
        self, which: Int[Tensor, " unique"], start: int, stop: int
    ) -> Bool[Tensor, "unique columns"]:
        """Whether tokens may begin behind the characters with some code points."""
        if self._last is None or self._last[0] is not which:
            points = which.tolist()
            rows = np.stack([self._row(point) for point in points]) if points else np.zeros((0, 1))
            self._last = which, torch.from_numpy(rows).to(which.device)
        self._place = self._place.to(which.device)
        return self._last[1].index_select(1, self._place[start:stop])

    def _row(self, point: int) -> Bool[np.ndarray, " columns"]:
        allowed = self._both.allowed(point)
        parts = [allowed, np.array([True, False])]
        if self._side.vocabulary.spelling.continuation is not None:
            parts.append(allowed[self._space] & (allowed | ~self._side.cut_behind(chr(point))))
        return np.concatenate(parts)


def ending(vocabulary: ByteVocabulary) -> Bool[np.ndarray, " ids"]:
    """Which ids are special, and thus boundaries: all but one that stands for unknown text."""
    found: Bool[np.ndarray, " ids"] = vocabulary.kinds == Kind.SPECIAL
    unknown = vocabulary.roles.get("unk")
    if unknown is not None and unknown not in (
        token for role, token in vocabulary.roles.items() if role != "unk"
    ):
        found[unknown] = False
    return found


def _begins_with_space(token: bytes) -> bool:
    return token[:4].decode(errors="ignore")[:1].isspace()


BOUNDARIES: dict[str, Callable[[ByteVocabulary, ByteVocabulary], Boundaries]] = {
    "learned": Learned,
    "whitespace": Whitespace,
}
