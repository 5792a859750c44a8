"""Pre-tokens that are vocabulary entries, for models that look there before they merge.

Where `ignore_merges` is set, a pre-token that is a vocabulary entry becomes it even if merges would
lead elsewhere. Such an entry stands alone in its pre-token, and the tokens that merges would have
made of it are not all of a pre-token: more must follow them there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask

OPEN = 0  # a pre-token without tokens so far
OTHER = -1  # one that cannot become an entry's bytes any more, or only by merges
ALONE = -2  # one that is an entry already


class Wholes:
    """How far the tokens of a pre-token spell an entry that merges do not lead to.

    Places are numbers: `OPEN` before the first token, `OTHER`, `ALONE`, and those of a trie.

    Args:
        size: Number of ids.
        replaced: For every such entry's id the tokens to which merges lead instead.
    """

    def __init__(self, size: int, replaced: Mapping[int, Sequence[int]]) -> None:
        self.alone: Mask = np.zeros(size, dtype=bool)
        self.alone[list(replaced)] = True
        self._below: dict[int, dict[int, int]] = {}
        self._spelled: set[int] = set()
        numbers = itertools.count(OPEN + 1)
        for row in replaced.values():
            place = OPEN
            for token in row:
                below = self._below.setdefault(place, {})
                if token not in below:
                    below[token] = next(numbers)
                place = below[token]
            self._spelled.add(place)

    def step(self, place: int, token: int) -> int:
        """The place behind one more token of the same pre-token."""
        if place == OPEN and self.alone[token]:
            return ALONE
        return self._below.get(place, {}).get(token, OTHER)

    def spelled(self, place: int) -> bool:
        """Whether the tokens so far spell an entry, so that the pre-token may not end here."""
        return place in self._spelled

    def spelling(self, place: int) -> Iterator[int]:
        """The tokens with which the tokens so far would spell one."""
        below = self._below.get(place, {})
        return (token for token, after in below.items() if after in self._spelled)
