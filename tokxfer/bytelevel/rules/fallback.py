"""Canonical tokenizations of SentencePiece BPE: characters without a token come in bytes.

Every byte string counts as a text. A byte token that begins a character may stand for itself, too,
if no such character follows: so it may come even where all characters that begin with it have
tokens. What follows then must not complete one of these.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from tokxfer.bytelevel.rules.bytepair import BytePairRule, State
from tokxfer.bytelevel.rules.characters import continues
from tokxfer.bytelevel.rules.pairs import PairRule
from tokxfer.bytelevel.rules.rule import Mask
from tokxfer.bytelevel.rules.splits import Splits
from tokxfer.bytelevel.rules.wholes import Wholes


class FallbackRule(BytePairRule):
    """The rule of SentencePiece BPE: characters without a token are spelled in byte tokens.

    A byte token may come only where it completes no character that has a token of its own.

    Args:
        splits, pairs, tokens, wholes: As for `BytePairRule`.
        fallback: Whether each id [ids] is a byte token.
        known: The characters that have a token.
    """

    def __init__(
        self,
        splits: Splits,
        pairs: PairRule,
        tokens: tuple[bytes, ...],
        wholes: Wholes,
        fallback: Mask,
        known: Iterable[str],
    ) -> None:
        super().__init__(splits, pairs, tokens, wholes)
        self._fallback = fallback
        self._known = {character.encode() for character in known}

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
        """Whether a byte token may come next: for no character that has a token."""
        rest = next(iter(state.ways)).rest  # of all ways the same
        begun = rest + byte if rest and continues(rest, byte[0]) else byte
        return begun not in self._known
