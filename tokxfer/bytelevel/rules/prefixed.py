"""The space that encoding puts before a text: no other text's encoding begins without it."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask, Rule
from tokxfer.vocabulary import ByteVocabulary

BEGINNING = "the beginning of a text"


class PrefixedRule:
    """A rule where the first token of a text begins with a space.

    Args:
        inner: The rule for text that may begin anyhow.
    """

    def __init__(self, inner: Rule) -> None:
        self.inner, self.tokens = inner, inner.tokens
        self.start: Hashable = BEGINNING
        self.behind: Hashable = inner.start
        self._spaced: Mask = np.array([token.startswith(b" ") for token in inner.tokens])
        self._first: Mask = inner.allowed(inner.start) & self._spaced
        self._first.setflags(write=False)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        return self._first if state == BEGINNING else self.inner.allowed(state)

    def follow(self, state: Hashable, token: int) -> Hashable | None:
        """The state behind a token; None if it may not follow."""
        if state != BEGINNING:
            return self.inner.follow(state, token)
        return self.inner.follow(self.behind, token) if self._spaced[token] else None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here."""
        return self.inner.ends(self.behind if state == BEGINNING else state)


def with_prefix(plain: Rule, vocabulary: ByteVocabulary) -> Rule:
    """The rule of a vocabulary, given that for text that may begin with or without a space."""
    return PrefixedRule(plain) if puts_space(vocabulary, "a") else plain


def puts_space(vocabulary: ByteVocabulary, text: str) -> bool:
    """Whether encoding puts a space before a text, even one that begins with a space."""
    spelled = b"".join(vocabulary.tokens[token] for token in vocabulary.encode(text))
    return spelled.startswith(b"  " if text.startswith(" ") else b" ")
