"""Canonical tokenizations of byte-pair encoding: pre-tokens by automaton, neighbours by merges."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tokxfer.bytelevel.rules.characters import characters, completions, continues
from tokxfer.bytelevel.rules.inside import InsideTokens
from tokxfer.bytelevel.rules.pairs import PairRule
from tokxfer.bytelevel.rules.rule import Mask
from tokxfer.bytelevel.rules.splits import DEAD, START, Splits
from tokxfer.bytelevel.rules.wholes import ALONE, OPEN, OTHER, Wholes
from tokxfer.shapes import Int

KEPT = 2**25  # bytes of masks of each kind: of some hundred tokens, which most texts keep to
DEEP = 4  # tokens ahead that are looked at where a pre-token must go on


@dataclass(frozen=True)
class Way:
    """One way of cutting the text so far into pre-tokens.

    Attributes:
        split: The state of the automaton of pre-token starts.
        rest: Bytes at the end that a character may still come of.
        begins: Whether that character begins a pre-token.
        place: How far the last pre-token's tokens spell an entry that stands alone.
    """

    split: int
    rest: bytes = b""
    begins: bool = False
    place: int = OPEN


@dataclass(frozen=True)
class State:
    """Where a sequence of tokens stands: its last token, and all ways of cutting its text."""

    last: int
    ways: frozenset[Way]


class BytePairRule:
    """The rule of byte-level BPE.

    A token may follow if some way of cutting the text lets it: as the first of a pre-token, or
    inside one beside a neighbour with which it would not have been merged. Every byte string
    counts as a text here; bytes of no character are cut as U+FFFD is.

    Args:
        splits: Where pre-tokens begin.
        pairs: Which tokens may be neighbours within a pre-token.
        tokens: The bytes of every id; b"" for ids that are not of text.
        wholes: Entries that go before merges where they are whole pre-tokens.
    """

    def __init__(
        self, splits: Splits, pairs: PairRule, tokens: tuple[bytes, ...], wholes: Wholes
    ) -> None:
        self.splits, self.pairs, self.tokens, self.wholes = splits, pairs, tokens, wholes
        self.start: Hashable = State(-1, frozenset({Way(START)}))
        self.behind: Hashable = self.start
        usable = pairs.derivations.reachable[: len(tokens)]
        self._usable: Mask = np.zeros(len(tokens), dtype=bool)
        self._usable[: len(usable)] = usable
        self._usable |= wholes.alone
        self._usable &= np.array([bool(token) for token in tokens])
        self._coming = lru_cache(None)(self._coming_of)
        self._may_live = lru_cache(None)(self._may_live_of)
        self._shapes, self._shape_of = self._shaped()
        longest = max(len(text) for text, _ in self._shapes)
        self._letters = np.array(  # code points plus one, 0 behind the end
            [[ord(c) + 1 for c in text] + [0] * (longest - len(text)) for text, _ in self._shapes]
        )
        rests = np.array([bool(rest) for _, rest in self._shapes])
        self._special = (wholes.alone | rests[self._shape_of]) & self._usable
        self._inside = InsideTokens(tokens, np.flatnonzero(self._usable))
        kept = max(64, KEPT // max(1, len(tokens)))
        self._alive = lru_cache(kept)(self._alive_of)
        self._closes = lru_cache(None)(self._closes_of)
        self._following = lru_cache(None)(self._following_of)
        self._landings = lru_cache(None)(self._landings_of)
        self._going_on = lru_cache(None)(self._going_on_of)
        self._forbidden = lru_cache(kept)(self._forbidden_after)
        self._masks = lru_cache(kept)(self._mask)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        return self._masks(state)

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        if not self._usable[token]:
            return None
        joins = not self._forbidden(state.last)[token]
        found = {
            after
            for way in state.ways
            for before, begins in self._seams(way, token, joins)
            if (after := self._cut(before, token, begins)) is not None
        }
        return State(token, frozenset(found)) if found else None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, State)
        return any(
            self.splits.ends(self._finished(way).split)
            for way in state.ways
            if not self.wholes.spelled(way.place)
        )

    def _seams(self, way: Way, token: int, joins: bool) -> Iterator[tuple[Way, bool]]:
        """The way before a token, and whether a pre-token begins at it: all that may be."""
        inside = bool(way.rest) and continues(way.rest, self.tokens[token][0])
        before = way if inside else self._finished(way)
        if not inside and not self.wholes.spelled(way.place):
            yield before, True
        if joins and way.place != ALONE:
            yield before, False

    def _cut(self, way: Way, token: int, begins: bool, depth: int = 0) -> Way | None:
        """A way after a token, if that leaves it alive; `depth` tokens were looked at before."""
        place = self.wholes.step(OPEN if begins else way.place, token)
        first, split = way.begins if way.rest else begins, way.split
        if way.rest:
            text, rest = characters(way.rest + self.tokens[token])
            for at, character in enumerate(text):
                split = self.splits.step(split, character, first and at == 0)
        else:
            text, rest = self._shapes[self._shape_of[token]]
            split = int(self._landings(split, first)[self._shape_of[token]])
        if split == DEAD:
            return None
        after = Way(split, rest, bool(rest) and first and not text, place)
        if rest and not (self._may_live(split, rest, after.begins) and self._lives(after, token)):
            return None
        closes = self._closes(self._finished(after).split)
        if place == ALONE:
            return after if closes else None
        if rest or (closes and not self.wholes.spelled(place)):
            return after
        return after if self._goes_on(after, token, depth) else None

    def _may_live_of(self, split: int, rest: bytes, begins: bool) -> bool:
        """Whether some character that may come of the bytes at a way's end leaves it alive."""
        return split != DEAD and any(
            self.splits.step(split, character, begins) != DEAD for character in self._coming(rest)
        )

    def _lives(self, way: Way, token: int) -> bool:
        """Whether tokens can spell such a character behind one that ends within it."""
        if self._finished(way).split != DEAD:
            return True
        inside = self._inside.behind(way.rest)
        return any(
            self._cut(way, after, False) is not None
            for after in inside[self.pairs.joins(token, inside)].tolist()
        )

    def _going_on_of(self, split: int, rest: bytes, begins: bool) -> Mask:
        """Whether each token that begins within a character [of those] leaves a way alive."""
        way = Way(split, rest, begins, OTHER)
        found = (self._cut(way, t, False) is not None for t in self._inside.behind(rest).tolist())
        return np.fromiter(found, dtype=bool)

    def _closes_of(self, split: int) -> bool:
        """Whether a pre-token may end where a way stands."""
        return self.splits.ends(split) or any(
            self.splits.step(split, character, True) != DEAD for character in self.splits.classes
        )

    def _goes_on(self, way: Way, token: int, depth: int) -> bool:
        """Whether some token may follow one in its pre-token, which must not end there."""
        following, closing = self._following(way.split)
        joined = self.pairs.joins(token, following)
        if depth == DEEP or (joined & closing).any():
            return True
        rest = following[joined].tolist()
        return any(self._cut(way, after, False, depth + 1) is not None for after in rest)

    def _following_of(self, split: int) -> tuple[Int[np.ndarray, " tokens"], Mask]:
        """Tokens that may go on with a pre-token, and whether it may end behind each of them."""
        landings = self._landings(split, False)
        found = np.flatnonzero(
            (landings != DEAD)[self._shape_of] & self._usable & ~self.wholes.alone
        )
        closing = np.array([self._closes(landing) for landing in landings.tolist()])
        return found, closing[self._shape_of[found]] & ~self._special[found]

    def _finished(self, way: Way) -> Way:
        """A way once the bytes at its end count as a character of their own."""
        if not way.rest:
            return way
        return Way(self.splits.step(way.split, "\ufffd", way.begins), place=way.place)

    def _forbidden_after(self, token: int) -> Mask:
        found = np.zeros(len(self.tokens), dtype=bool)
        if token >= 0:
            forbidden = self.pairs.forbidden(token)
            size = min(len(found), len(forbidden))
            found[:size] = forbidden[:size]
        return found

    def _mask(self, state: Hashable) -> Mask:
        assert isinstance(state, State)
        found: Mask = np.zeros(len(self.tokens), dtype=bool)
        joins = ~self._forbidden(state.last)
        for way in state.ways:
            split, inside = self._finished(way).split, way.place != ALONE
            here = self._alive(split, False) & joins if inside else np.zeros_like(joins)
            if not self.wholes.spelled(way.place):
                here |= self._alive(split, True)
            within = self._inside.behind(way.rest)
            if len(within):
                goes_on = self._going_on(way.split, way.rest, way.begins)
                here[within] = joins[within] & goes_on & inside
            found |= here
        for token in {t for way in state.ways for t in self.wholes.spelling(way.place)}:
            found[token] = self.follow(state, token) is not None
        found.setflags(write=False)
        return found

    def _coming_of(self, rest: bytes) -> str:
        """The classes of characters that may come of some bytes."""
        found = {self.splits.class_of(character) for character in (*completions(rest), "\ufffd")}
        return "".join(sorted(found))

    def _alive_of(self, split: int, begins: bool) -> Mask:
        """Whether each token [ids] leaves a way of whole characters alive, neighbours aside."""
        landings = self._landings(split, begins)
        alive = landings != DEAD
        closing = np.array([self._closes(landing) for landing in landings.tolist()])
        found: Mask = alive[self._shape_of] & (begins | ~self.wholes.alone) & self._usable
        doubtful = self._special | ~closing[self._shape_of]
        for token in np.flatnonzero(found & doubtful).tolist():
            found[token] = self._cut(Way(split, place=OTHER), token, begins) is not None
        return found

    def _landings_of(self, split: int, begins: bool) -> Int[np.ndarray, " shapes"]:
        """Where the characters of every shape lead, neighbours and what must follow aside."""
        found = np.full(len(self._shapes), split)
        letters = self._letters
        for at in range(letters.shape[1]):
            rows = np.flatnonzero((letters[:, at] > 0) & (found != DEAD))
            steps, which = np.unique(found[rows] << 21 | letters[rows, at], return_inverse=True)
            after = [
                self.splits.step(step >> 21, chr((step & 0x1FFFFF) - 1), begins and at == 0)
                for step in steps.tolist()
            ]
            found[rows] = np.array(after, dtype=np.int64)[which]
        for shape, (text, rest) in enumerate(self._shapes):
            if rest and not self._may_live(int(found[shape]), rest, begins and not text):
                found[shape] = DEAD
        return found

    def _shaped(self) -> tuple[list[tuple[str, bytes]], Int[np.ndarray, " ids"]]:
        """Tokens by the classes of their characters, and the bytes behind these.

        Returns:
            The distinct pairs of these, and the place of each token's among them [ids].
        """
        numbers: dict[tuple[str, bytes], int] = {("", b""): 0}
        shape_of = np.zeros(len(self.tokens), dtype=np.int64)
        classes: dict[int, str] = {}
        for token in np.flatnonzero(self._usable).tolist():
            text, rest = characters(self.tokens[token])
            for letter in set(text):
                if ord(letter) not in classes:
                    classes[ord(letter)] = self.splits.class_of(letter)
            shape = (text.translate(classes), rest)
            shape_of[token] = numbers.setdefault(shape, len(numbers))
        return list(numbers), shape_of
