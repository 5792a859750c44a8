"""The law of all token sequences: any token may follow any other."""

# ruff: noqa: ARG002 (the interface is that of all rules)
from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask


class EverythingRule:
    """Every sequence of tokens is allowed, and may end anywhere.

    Args:
        tokens: The bytes of every id; b"" for ids that are not of text.
    """

    def __init__(self, tokens: tuple[bytes, ...]) -> None:
        self.start: Hashable = ()
        self.tokens = tokens
        self._mask: Mask = np.array([bool(token) for token in tokens])
        self._mask.setflags(write=False)

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow: those of text."""
        return self._mask

    def follow(self, state: Hashable, token: int) -> Hashable | None:
        """The state behind a token."""
        return self.start if self._mask[token] else None

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here: always."""
        return True
