"""Which tokens may stand at a way of cutting a text, as far as pre-tokens go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tokxfer.bytelevel.rules.rule import Mask
from tokxfer.bytelevel.rules.splits import DEAD, Splits

KEPT = 256


class Alive:
    """Tokens of whole characters that leave a way of cutting alive.

    No pre-token begins within a token.

    Args:
        splits: Where pre-tokens begin.
        names: The characters of every id; "" for ids that no text becomes.
    """

    def __init__(self, splits: Splits, names: Sequence[str]) -> None:
        self.splits = splits
        numbers: dict[str, int] = {"": 0}
        shapes = ("".join(map(splits.class_of, name)) for name in names)
        self._shape_of = np.array([numbers.setdefault(s, len(numbers)) for s in shapes])
        self._shapes = list(numbers)
        self.mask = lru_cache(KEPT)(self._mask)

    def after(self, split: int, text: str, begins: bool) -> int:
        """The state after some characters, the first of which begins a pre-token or does not."""
        for place, character in enumerate(text):
            split = self.splits.step(split, character, begins and place == 0)
        return split

    def _mask(self, split: int, begins: bool) -> Mask:
        """Whether each id [ids] may follow; those without characters may not."""
        shapes = [
            bool(shape) and self.after(split, shape, begins) != DEAD for shape in self._shapes
        ]
        found: Mask = np.array(shapes)[self._shape_of]
        found.setflags(write=False)
        return found
