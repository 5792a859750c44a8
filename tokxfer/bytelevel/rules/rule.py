"""What makes a sequence of tokens canonical: the interface that each tokenizer family fills."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class Rule(Protocol):
    """Which tokens may come next, for a sequence to be the beginning of some text's encoding.

    Attributes:
        start: The state before the first token of a text.
        behind: The same where the text goes on from a context, so that it may begin without the
            space that encoding puts before a text.
        tokens: The bytes of every id; b"" for ids that are not of text.
    """

    start: Hashable
    behind: Hashable
    tokens: tuple[bytes, ...]

    def allowed(self, state: Hashable) -> Mask:
        """Whether each id [ids] may follow."""
        ...

    def follow(self, state: Hashable, token: int) -> Hashable | None:
        """The state behind a token; None if it may not follow."""
        ...

    def ends(self, state: Hashable) -> bool:
        """Whether the text may end here: the sequence is the encoding of a whole text."""
        ...
