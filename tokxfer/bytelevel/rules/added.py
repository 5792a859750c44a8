"""Added tokens: stretches of text cut out before everything else, such as Gemma's newlines.

A text is searched from the left for the longest added token at every place; what lies between them
is tokenized piece by piece. So a canonical sequence never spells an added token by others, and no
added token stands where a longer one, or one that begins further left, would have been found.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules.normalized import NormalizedRule
from tokxfer.bytelevel.rules.normalizing import TextNormalizer
from tokxfer.bytelevel.rules.rule import Mask, Rule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.vocabulary.spelling import components

KEPT = 2**26  # bytes of masks of each kind


@dataclass(frozen=True)
class State:
    """Where a sequence stands.

    Attributes:
        inner: The state of the rule for what lies between added tokens.
        begun: Beginnings of added tokens that the last bytes are, each of which may yet be found.
    """

    inner: Hashable
    begun: frozenset[bytes] = frozenset()


class AddedRule:
    """The rule of a vocabulary with added tokens that are not special.

    Args:
        inner: The rule for text without them.
        added: The bytes of added tokens by id.
        afresh: Whether what comes behind one begins as a text does: with the space put before it.
    """

    def __init__(self, inner: Rule, added: Mapping[int, bytes], *, afresh: bool = False) -> None:
        self.inner, self.added = inner, dict(added)
        self.start: Hashable = State(inner.start)
        self.behind: Hashable = State(inner.behind)
        self._next = inner.start if afresh else inner.behind
        self.tokens = tuple(self.added.get(i, token) for i, token in enumerate(inner.tokens))
        self._whole = set(self.added.values())
        self._beginnings = {t[:size] for t in self._whole for size in range(1, len(t))}
        self._order = ByteOrder(inner.tokens)
        search = re.compile(b"|".join(map(re.escape, sorted(self._whole))))
        self._free: Mask = np.array([not search.search(token) for token in inner.tokens])
        kept = max(64, KEPT // max(1, len(self.tokens)))
        self._masks = lru_cache(kept)(self._mask)
        self._unspelled = lru_cache(kept)(self._unspelled_behind)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        return self._masks(state)

    def follow(self, state: Hashable, token: int) -> State | None:
        """The state behind a token; None if it may not follow."""
        assert isinstance(state, State)
        if token in self.added:
            spelled = self.added[token]
            going = self._scanned(state.begun, spelled)
            if going is None or not self.inner.ends(state.inner):
                return None
            return State(self._next, frozenset(going | ({spelled} & self._beginnings)))
        inner = self.inner.follow(state.inner, token)
        if inner is None or not self._unspelled(state.begun)[token]:
            return None
        begun = self._scanned(state.begun, self.tokens[token]) or set()
        fresh = {self.tokens[token][at:] for at in range(len(self.tokens[token]))}
        return State(inner, frozenset(begun | (fresh & self._beginnings)))

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        assert isinstance(state, State)
        return self.inner.ends(state.inner)

    def _scanned(self, begun: frozenset[bytes], spelled: bytes) -> set[bytes] | None:
        """What was begun and goes on behind some bytes; None if one is found within them."""
        going = set()
        for beginning in begun:
            for size in range(1, len(spelled) + 1):
                longer = beginning + spelled[:size]
                if longer in self._whole:
                    return None
                if longer not in self._beginnings:
                    break
            else:
                going.add(beginning + spelled)
        return going

    def _mask(self, state: Hashable) -> Mask:
        assert isinstance(state, State)
        found: Mask = self.inner.allowed(state.inner) & self._unspelled(state.begun)
        for token in self.added:
            found[token] = self.follow(state, token) is not None
        found.setflags(write=False)
        return found

    def _unspelled_behind(self, begun: frozenset[bytes]) -> Mask:
        """Whether each id [ids] completes no added token that was begun, and spells none."""
        found = self._free.copy()
        for beginning in begun:
            for whole in self._whole:
                if whole.startswith(beginning) and len(whole) > len(beginning):
                    rest = whole[len(beginning) :]
                    runs = list(self._order.along(rest, 0))
                    if len(runs) == len(rest):
                        first, last = runs[-1]
                        found[self._order.ids[first:last]] = False
        found.setflags(write=False)
        return found


def with_added(
    plain: Rule,
    vocabulary: ByteVocabulary,
    content: Mapping[str, Any],
    normalizer: TextNormalizer | None = None,
) -> Rule:
    """The rule of a vocabulary, given that for normalized text without its added tokens.

    As a tokenizer does, added tokens that are looked for in the text itself are cut out first; what
    lies between them is normalized, and searched for the others, which are normalized, too.

    Raises:
        UnsupportedError: An added token swallows the spaces beside it, or must be a whole word.
    """
    entries = content.get("added_tokens") or []
    for entry in entries:
        odd = [name for name in ("lstrip", "rstrip", "single_word") if entry.get(name)]
        if odd and not entry.get("special"):
            raise UnsupportedError(
                f"The added token {entry['content']!r} of {vocabulary.source.name} is {odd[0]}: "
                "its bytes depend on what stands beside it.",
                "Take a tokenizer without such tokens.",
            )
    early = {entry["content"] for entry in entries if not entry.get("normalized")}
    added = np.flatnonzero(vocabulary.kinds == Kind.ADDED).tolist()
    first = {i: vocabulary.tokens[i] for i in added if vocabulary.names[i] in early}
    later = {i: spelled for i in added if i not in first and (spelled := looked_for(vocabulary, i))}
    rule = _cut_out(plain, later, vocabulary)
    if normalizer is not None:
        rule = NormalizedRule(rule, normalizer.normalize, normalizer.finish, normalizer.reach)
    return _cut_out(rule, first, vocabulary)


def _cut_out(rule: Rule, added: Mapping[int, bytes], vocabulary: ByteVocabulary) -> Rule:
    """A rule with some added tokens."""
    if not added:
        return rule
    ids = vocabulary.encode(f"{vocabulary.names[next(iter(added))]}a")
    afresh = len(ids) > 1 and vocabulary.tokens[ids[1]].startswith(b" ")
    return AddedRule(rule, added, afresh=afresh)


def looked_for(vocabulary: ByteVocabulary, token: int) -> bytes:
    """The bytes of normalized text that an added token is found as.

    A normalizer that puts a space before a text puts one before the token, too.
    """
    normalizer, spelling = vocabulary.tokenizer.normalizer, vocabulary.spelling
    steps = components(vocabulary.source.normalizer)
    if normalizer is None or any(step["type"] == "ByteLevel" for step in steps):
        return vocabulary.tokens[token]
    text = str(normalizer.normalize_str(vocabulary.names[token]))
    return (text.replace(spelling.mark, " ") if spelling.mark else text).encode()
