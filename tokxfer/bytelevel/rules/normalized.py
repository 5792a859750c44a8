"""Canonical tokenizations where text is normalized first: only text that stays as it is counts.

A tokenizer with NFC never sees e and a combining accent, so that no sequence that spells these is
canonical. The law is one over normalized text: text that the normalizer leaves as it is, and every
beginning of it. Whether a character stays depends on few before it: accents and the like lean on
the last character that does not, and no further.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from tokxfer.bytelevel.rules.characters import beginning, characters, continues
from tokxfer.bytelevel.rules.inside import InsideTokens
from tokxfer.bytelevel.rules.rule import Mask, Rule

KEPT = 2**26  # bytes of masks
BROKEN = "\ufffd"  # what bytes of no character count as
JOINERS = frozenset("\u200c\u200d\uff9e\uff9f🏻🏼🏽🏾🏿")  # lean on what precedes, but are no marks
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
        self._normalize, self._finish = normalize, finish or normalize
        self._texts, rests = zip(*map(characters, self.tokens), strict=True)
        self._stays: Mask = np.array(
            [
                self._kept(text) and self._may_stay(rest)
                for text, rest in zip(self._texts, rests, strict=True)
            ]
        )
        heads = {"": 0}
        numbers = [heads.setdefault(self._head(text), len(heads)) for text in self._texts]
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

    def _kept(self, text: str) -> bool:
        return self._normalize(text) == text

    def _may_stay(self, rest: bytes) -> bool:
        """Whether the normalizer leaves some character that may come of some bytes."""
        return not rest or self._kept(BROKEN) or any(map(self._kept, beginning(rest)))

    def _closed(self, state: State) -> str | None:
        """The tail once bytes at the end count as a character; None if that would not stay."""
        if not state.rest:
            return state.tail
        grown = state.tail + BROKEN
        return self._tail(grown) if self._kept(grown) else None

    def _grown(self, tail: str, begun: bytes, token: int) -> str | None:
        """The tail with a token that goes on with a character; None if it would not stay."""
        text, rest = characters(begun + self.tokens[token])
        grown = tail + text
        return grown if self._kept(grown) and self._may_stay(rest) else None

    def _going_on_of(self, tail: str, rest: bytes) -> Mask:
        """Whether each token that goes on with a character [of those] would stay."""
        found = (self._grown(tail, rest, t) is not None for t in self._inside.behind(rest).tolist())
        return np.fromiter(found, dtype=bool)

    def _tail(self, text: str) -> str:
        at = len(text) - 1
        while at > 0 and leans(text[at]):
            at -= 1
        return text[max(0, at - self.reach) :]

    def _head(self, text: str) -> str:
        """The characters of a token that may change with those before it."""
        size = 0
        while size < len(text) and leans(text[size]):
            size += 1
        return text[: size + self.reach]

    def _changed_of(self, tail: str) -> frozenset[int]:
        """The heads that would not stay behind a tail."""
        return frozenset(
            number for number, head in enumerate(self._heads) if not self._kept(tail + head)
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
