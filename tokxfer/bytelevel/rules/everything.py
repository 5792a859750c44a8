"""The law of all token sequences: any token may follow any other."""

# ruff: noqa: ARG002 (the interface is that of all rules)
from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask, Rule


class EverythingRule:
    """Every sequence of tokens is allowed, and may end anywhere.

    Only a text's first token is one that begins as encodings do: with the space put before a text.

    Args:
        canonical: The rule of what the tokenizer itself would write.
    """

    def __init__(self, canonical: Rule) -> None:
        self.start: Hashable = "first"
        self.behind: Hashable = "later"
        self.tokens = canonical.tokens
        self._mask: Mask = np.array([bool(token) for token in self.tokens])
        self._first = self._mask
        if canonical.start != canonical.behind:
            spaced = np.array([token.startswith(b" ") for token in self.tokens])
            self._first = spaced | canonical.allowed(canonical.start)
        self._mask.setflags(write=False)
        self._first.setflags(write=False)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow: those of text."""
        return self._first if state == self.start else self._mask

    def follow(self, state: Hashable, token: int) -> Hashable | None:
        """The state behind a token."""
        return self.behind if self.allowed(state)[token] else None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here: always."""
        return True
