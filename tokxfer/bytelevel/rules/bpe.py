"""Canonical tokenizations of byte-pair encoding: pre-tokens by automaton, neighbours by merges."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tokxfer.bytelevel.rules.added import AddedRule
from tokxfer.bytelevel.rules.characters import characters, continues, endings
from tokxfer.bytelevel.rules.merges import Derivations, MergeTable
from tokxfer.bytelevel.rules.pairs import PairRule
from tokxfer.bytelevel.rules.rule import Mask, Rule
from tokxfer.bytelevel.rules.splits import DEAD, START, Splits
from tokxfer.errors import UnsupportedError
from tokxfer.shapes import Int
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.reading import content_of

KEPT = 4096  # masks; a tenth of a gigabyte at 32,000 ids


@dataclass(frozen=True)
class Way:
    """One way of cutting the text so far into pre-tokens.

    Attributes:
        split: The state of the automaton of pre-token starts.
        rest: Bytes at the end that a character may still come of.
        begins: Whether that character begins a pre-token.
    """

    split: int
    rest: bytes = b""
    begins: bool = False


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
    """

    def __init__(self, splits: Splits, pairs: PairRule, tokens: tuple[bytes, ...]) -> None:
        self.splits, self.pairs, self.tokens = splits, pairs, tokens
        self.start: Hashable = State(-1, frozenset({Way(START)}))
        usable = pairs.derivations.reachable[: len(tokens)]
        self._usable: Mask = np.zeros(len(tokens), dtype=bool)
        self._usable[: len(usable)] = usable
        self._usable &= np.array([bool(token) for token in tokens])
        self._shapes, self._shape_of = self._shaped()
        self._inside_characters = {
            byte: [t for t in np.flatnonzero(self._usable).tolist() if tokens[t][0] == byte]
            for byte in range(0x80, 0xC0)
        }
        self._alive = lru_cache(KEPT)(self._alive_of)
        self._forbidden = lru_cache(KEPT)(self._forbidden_after)
        self._masks = lru_cache(KEPT)(self._mask)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        return self._masks(state)

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        if not self._usable[token]:
            return None
        joins = not self._forbidden(state.last)[token]
        spelled = self.tokens[token]
        found = {
            after
            for way in state.ways
            for before, begins in self._seams(way, spelled, joins)
            if (after := self._cut(before, spelled, begins)) is not None
        }
        return State(token, frozenset(found)) if found else None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, State)
        return any(self.splits.ends(self._finished(way).split) for way in state.ways)

    def _seams(self, way: Way, spelled: bytes, joins: bool) -> Iterator[tuple[Way, bool]]:
        """The way before a token, and whether a pre-token begins at it: all that may be."""
        inside = bool(way.rest) and continues(way.rest, spelled[0])
        before = way if inside else self._finished(way)
        if not inside:
            yield before, True
        if joins:
            yield before, False

    def _cut(self, way: Way, spelled: bytes, begins: bool) -> Way | None:
        """A way after a token, if that leaves it alive."""
        text, rest = characters(way.rest + spelled)
        first = way.begins if way.rest else begins
        split = way.split
        for place, character in enumerate(text):
            split = self.splits.step(split, character, first and place == 0)
            if split == DEAD:
                return None
        return Way(split, rest, first and not text) if rest else Way(split)

    def _finished(self, way: Way) -> Way:
        """A way once the bytes at its end count as a character of their own."""
        if not way.rest:
            return way
        return Way(self.splits.step(way.split, "\ufffd", way.begins))

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
            split = self._finished(way).split
            here = self._alive(split, True) | (self._alive(split, False) & joins)
            for byte in range(0x80, 0xC0) if way.rest else ():
                if continues(way.rest, byte):
                    for token in self._inside_characters[byte]:
                        after = joins[token] and self._cut(way, self.tokens[token], False)
                        here[token] = bool(after)
            found |= here
        found &= self._usable
        found.setflags(write=False)
        return found

    def _alive_of(self, split: int, begins: bool) -> Mask:
        """Whether each token [ids] leaves a way of whole characters alive, neighbours aside."""
        shapes = np.array([self._passes(split, shape, begins) for shape in self._shapes])
        found: Mask = shapes[self._shape_of]
        return found

    def _passes(self, split: int, shape: str, begins: bool) -> bool:
        for place, character in enumerate(shape):
            split = self.splits.step(split, character, begins and place == 0)
        return split != DEAD

    def _shaped(self) -> tuple[list[str], Int[np.ndarray, " ids"]]:
        """The classes of tokens' characters: distinct strings of them, and each token's [ids]."""
        numbers: dict[str, int] = {"": 0}
        shape_of = np.zeros(len(self.tokens), dtype=np.int64)
        for token in np.flatnonzero(self._usable).tolist():
            text, _ = characters(self.tokens[token])
            shape = "".join(map(self.splits.class_of, text))
            shape_of[token] = numbers.setdefault(shape, len(numbers))
        return list(numbers), shape_of


class FallbackRule(BytePairRule):
    """The rule of SentencePiece BPE: characters without a token are spelled in byte tokens.

    A byte token may come only where its character has no token of its own.

    Args:
        splits, pairs, tokens: As for `BytePairRule`.
        fallback: Whether each id [ids] is a byte token.
        known: The characters that have a token.
    """

    def __init__(
        self,
        splits: Splits,
        pairs: PairRule,
        tokens: tuple[bytes, ...],
        fallback: Mask,
        known: Iterable[str],
    ) -> None:
        super().__init__(splits, pairs, tokens)
        self._fallback = fallback
        self._known = {character.encode() for character in known}
        beginnings = (c[:size] for c in self._known for size in range(1, len(c)))
        self._begun = Counter(beginnings)

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        if self._fallback[token] and not self._spelled(state, self.tokens[token]):
            return None
        return super().follow(state, token)

    def _mask(self, state: Hashable) -> Mask:
        assert isinstance(state, State)
        found = super()._mask(state).copy()
        for token in np.flatnonzero(found & self._fallback).tolist():
            found[token] = self._spelled(state, self.tokens[token])
        found.setflags(write=False)
        return found

    def _spelled(self, state: State, byte: bytes) -> bool:
        """Whether a byte token may come next: for a character that has no token."""
        rest = next(iter(state.ways)).rest  # of all ways the same
        begun = rest + byte if rest and continues(rest, byte[0]) else byte
        text, left = characters(begun)
        return self._begun[left] < endings(left) if left else text.encode() not in self._known


def bpe_rule(vocabulary: ByteVocabulary) -> Rule:
    """The rule of a BPE vocabulary, byte-level or of SentencePiece.

    Raises:
        UnsupportedError: An added token swallows the spaces beside it, or must be a whole word.
    """
    content = content_of(vocabulary.source)
    plain = plain_rule(vocabulary, content)
    added = np.flatnonzero(vocabulary.kinds == Kind.ADDED).tolist()
    for entry in content.get("added_tokens") or []:
        odd = [name for name in ("lstrip", "rstrip", "single_word") if entry.get(name)]
        if odd and not entry.get("special"):
            raise UnsupportedError(
                f"The added token {entry['content']!r} of {vocabulary.source.name} is {odd[0]}: "
                "its bytes depend on what stands beside it.",
                "Take a tokenizer without such tokens.",
            )
    return AddedRule(plain, {i: vocabulary.tokens[i] for i in added}) if added else plain


def plain_rule(vocabulary: ByteVocabulary, content: Mapping[str, Any]) -> BytePairRule:
    """The rule for text without added tokens."""
    model = content["model"]
    ids: dict[str, int] = model["vocab"]
    pairs = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    table = MergeTable.of(pairs, ids)
    spelling, kinds = vocabulary.spelling, vocabulary.kinds
    fallback = (kinds == Kind.BYTE) & (not spelling.byte_level)
    atoms = {
        token: [token] if fallback[token] else [ids[character] for character in name]
        for name, token in ids.items()
        if fallback[token] or all(character in ids for character in name)
    }
    texts = tuple(
        spelled if kind in (Kind.NORMAL, Kind.BYTE) else b""
        for spelled, kind in zip(vocabulary.tokens, kinds, strict=True)
    )
    splits = Splits(cutter(content, spelling.mark))
    rule = PairRule(table, Derivations.of(table, atoms))
    if spelling.byte_level:
        return BytePairRule(splits, rule, texts)
    marked = (name.replace(spelling.mark, " ") if spelling.mark else name for name in ids)
    known = (name for name in marked if len(name) == 1)
    return FallbackRule(splits, rule, texts, fallback, known)


def cutter(content: Mapping[str, Any], mark: str | None) -> Callable[[str], Iterable[int]]:
    """Where the pre-tokens of a text begin, as a tokenizer's own pre-tokenizer says.

    A space that it would put before a text is left out. Spaces come to it as its normalizer leaves
    them: as the mark, if there is one and the pre-tokenizer does not write it itself.
    """
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.BPE()).to_str())
    plain = re.sub(
        '"add_prefix_space": true',
        '"add_prefix_space": false',
        json.dumps(content["pre_tokenizer"]),
    )
    plain = re.sub('"prepend_scheme": "[a-z]*"', '"prepend_scheme": "never"', plain)
    seen = " " if mark is None or "Metaspace" in plain else mark
    splitter = Tokenizer.from_str(json.dumps(bare | {"pre_tokenizer": json.loads(plain)}))
    if splitter.pre_tokenizer is None:
        return lambda _: (0,)

    def cut(text: str) -> Iterable[int]:
        pieces = splitter.pre_tokenizer.pre_tokenize_str(text.replace(" ", seen))
        return [place[0] for _, place in pieces]

    return cut
