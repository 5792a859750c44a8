"""Canonical tokenizations where text is normalized first: only text that stays as it is counts.

A tokenizer with NFC never sees e and a combining accent, so that no sequence that spells these is
canonical. The law is one over normalized text: text that the normalizer leaves as it is, and every
beginning of it. Whether a character stays depends on few before it: accents and the like lean on
the last character that does not, and no further.

A beginning need not stay by itself: charsmaps change a letter with one accent, and leave one with
many as it is. So where the end of a text would not stay, more marks may follow that let it, and
nothing else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from tokxfer.bytelevel.rules.characters import beginning, characters, continues
from tokxfer.bytelevel.rules.inside import InsideTokens
from tokxfer.bytelevel.rules.rule import Mask, Rule

KEPT = 2**26  # bytes of masks
BROKEN = "\ufffd"  # what bytes of no character count as
JOINERS = frozenset("\u200c\u200d\uff9e\uff9f🏻🏼🏽🏾🏿")  # lean on what precedes, but are no marks
MORE = 3  # marks, of two bytes at least: charsmaps take clusters of 6 bytes as single characters
VOWELS_AND_FINALS = range(0x1160, 0x1200)  # of Hangul


@dataclass(frozen=True)
class State:
    """Where a sequence stands.

    Attributes:
        inner: The state of the rule for normalized text.
        tail: The last characters, as far as what follows may change with them.
        rest: Bytes at the end that a character may still come of.
    """

    inner: Hashable
    tail: str = ""
    rest: bytes = b""


class Head(NamedTuple):
    """The beginning of a token, as far as it may change with the characters before it.

    Attributes:
        text: Its first characters.
        rest: Bytes behind them that a character may still come of.
        last: Whether nothing that stands by itself follows: the next token may go on with it.
    """

    text: str
    rest: bytes
    last: bool


class NormalizedRule:
    """The rule of a vocabulary whose tokenizer normalizes text.

    Args:
        inner: The rule for normalized text.
        normalize: The normalizer; what it does to a character may depend on those before it.
        finish: The same for a whole text, of which it may cut off the end.
        reach: How many characters before the last that stands by itself may matter, too.
    """

    def __init__(
        self,
        inner: Rule,
        normalize: Callable[[str], str],
        finish: Callable[[str], str] | None = None,
        reach: int = 0,
    ) -> None:
        self.inner, self.tokens, self.reach = inner, inner.tokens, reach
        self.start: Hashable = State(inner.start)
        self.behind: Hashable = State(inner.behind)
        self._finish = finish or normalize
        self._texts, rests = zip(*map(characters, self.tokens), strict=True)
        self._kept: Callable[[str], bool] = lru_cache(2**16)(lambda text: normalize(text) == text)
        pairs = list(zip(self._texts, rests, strict=True))
        self._stays: Mask = np.array([self._may_stay(text, rest) for text, rest in pairs])
        heads: dict[Head, int] = {}
        numbers = [heads.setdefault(self._head(*pair), len(heads)) for pair in pairs]
        self._heads, self._head_of = tuple(heads), np.array(numbers)
        self._inside = InsideTokens(self.tokens, np.arange(len(self.tokens)))
        self._masks = lru_cache(max(64, KEPT // max(1, len(self.tokens))))(self._mask)
        self._going_on = lru_cache(2**12)(self._going_on_of)
        self._changed = lru_cache(2**14)(self._changed_of)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        assert isinstance(state, State)
        inner, tail = self.inner.allowed(state.inner), self._closed(state)
        found = inner & self._masks(self._changed(tail)) if tail is not None else inner & False
        within = self._inside.behind(state.rest)
        if len(within):
            found[within] = inner[within] & self._going_on(state.tail, state.rest)
        return found

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        inner = self.inner.follow(state.inner, token)
        if inner is None:
            return None
        if state.rest and continues(state.rest, self.tokens[token][0]):
            grown = self._grown(state.tail, state.rest, token)
        else:
            tail = self._closed(state)
            if tail is None or not self._masks(self._changed(tail))[token]:
                return None
            grown = tail + self._texts[token]
        if grown is None:
            return None
        return State(inner, self._tail(grown), characters(state.rest + self.tokens[token])[1])

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, State)
        tail = self._closed(state)
        return tail is not None and self._finish(tail) == tail and self.inner.ends(state.inner)

    def _may_stay(self, text: str, rest: bytes = b"") -> bool:
        """Whether the normalizer leaves a text with some character that may come of its last bytes.

        Or, if not yet, with more marks behind it.
        """
        if not rest:
            return self._kept(text) or self._kept(text + MORE * text[-1])
        if self._kept(text):
            return self._kept(BROKEN) or any(map(self._kept, beginning(rest)))
        return self._may_stay(text) and any(self._may_stay(text + mark) for mark in marks(rest))

    def _closed(self, state: State) -> str | None:
        """The tail once bytes at the end count as a character; None if that would not stay."""
        if not state.rest:
            return state.tail
        grown = state.tail + BROKEN
        return self._tail(grown) if self._kept(grown) else None

    def _grown(self, tail: str, begun: bytes, token: int) -> str | None:
        """The tail with a token that goes on with a character; None if it cannot stay."""
        text, rest = characters(begun + self.tokens[token])
        grown = tail + text
        return grown if self._may_stay(grown, rest) else None

    def _going_on_of(self, tail: str, rest: bytes) -> Mask:
        """Whether each token that goes on with a character [of those] may stay."""
        found = (self._grown(tail, rest, t) is not None for t in self._inside.behind(rest).tolist())
        return np.fromiter(found, dtype=bool)

    def _tail(self, text: str) -> str:
        at = len(text) - 1
        while at > 0 and leans(text[at]):
            at -= 1
        return text[max(0, at - self.reach) :]

    def _head(self, text: str, rest: bytes) -> Head:
        """What of a token may change with the characters before it."""
        size = 0
        while size < len(text) and leans(text[size]):
            size += 1
        last = size == len(text)
        return Head(text[: size + self.reach], rest if last else b"", last)

    def _changed_of(self, tail: str) -> frozenset[int]:
        """The heads that cannot stay behind a tail."""
        return frozenset(
            number
            for number, head in enumerate(self._heads)
            if not (
                self._may_stay(tail + head.text, head.rest)
                if head.last
                else self._kept(tail + head.text)
            )
        )

    def _mask(self, changed: frozenset[int]) -> Mask:
        found: Mask = self._stays & ~np.isin(self._head_of, list(changed))
        found.setflags(write=False)
        return found


@cache
def leans(character: str) -> bool:
    """Whether a character may change with the one before it: a mark, or a part of a syllable."""
    return (
        unicodedata.category(character)[0] == "M"
        or ord(character) in VOWELS_AND_FINALS
        or character in JOINERS
    )


@cache
def marks(begun: bytes) -> list[str]:
    """Characters that lean on what precedes them, of those that begin with some bytes."""
    return [character for character in beginning(begun) if leans(character)]
