"""Texts longer than a model: tokens that lie too deep are read behind the last ones before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tokxfer.bytelevel.treemodel import ROOT, AttentionTree, TreeModel
from tokxfer.errors import UsageError
from tokxfer.shapes import Float

PART = 2048  # tokens that are read at once


def check_window(window: int) -> None:
    """Refuse a window in which no token stands behind another.

    Raises:
        UsageError: It is below 2 tokens.
    """
    if window < 2:
        raise UsageError(f"A window must hold 2 tokens or more, not {window}.")


@dataclass(eq=False, repr=False, slots=True)
class Place:
    """A node of a tree of any depth.

    Attributes:
        parent: The node before it; None for the first, or where nothing asks for it any more.
        token: Its token.
        depth: The tokens of its sequence, its own included.
    """

    parent: Place | None
    token: int
    depth: int


class WindowedTree:
    """A tree of any depth, on a model that takes only so many tokens.

    A sequence is read in windows, the first as long as the model takes with the token to be
    answered for. Each of the others begins half a length further on, and answers for those that end
    in its last half; so every token is answered behind about half a length, or all there is,
    whatever else the tree holds. These are the windows of `tokxfer evaluate`.

    Args:
        make: A new, empty tree of the model.
        length: Tokens that the model takes.
    """

    def __init__(self, make: Callable[[], TreeModel], length: int) -> None:
        self._tree, self.length, self.size = make(), max(1, length - 1), 0
        self._step = max(1, length // 2)
        self._newest = self._cut = 0
        self._places: dict[int, Place] = {}  # those that may be extended
        self._read: dict[tuple[Place, int], int] = {}  # numbers in the tree, by window

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        wanted = set(range(len(tokens)) if asked is None else asked)
        before, reading, answered = list[int](), list[int](), list[int]()
        for at, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
            above = None if parent == ROOT else self._places[parent]
            place = Place(above, token, above.depth + 1 if above else 1)
            self._places[self.size] = place
            self.size += 1
            window = self._window(place.depth)
            others = list(self._places.values()) if window > self._newest else []
            self._newest = max(self._newest, window)
            for one in (*others, place):
                for new in self._unread(one, window):
                    known = None if new.parent is None else self._read.get((new.parent, window))
                    before.append(ROOT if known is None else known)
                    self._read[new, window] = self._tree.size + len(reading)
                    reading.append(new.token)
            if at in wanted:
                answered.append(self._read[place, window] - self._tree.size)
        return self._answers(before, reading, answered)

    def adopt(self, tokens: Sequence[int], cache: Any) -> int:
        """Begin with a sequence that was read already: see `AttentionTree`.

        Nothing is taken where rows are read from their beginning.
        """
        if not isinstance(self._tree, AttentionTree) or not self._tree.adopt(tokens, cache):
            return 0
        place: Place | None = None
        for depth, token in enumerate(tokens, start=1):
            place = Place(place, token, depth)
        assert place is not None
        self.size = len(tokens)
        self._places[self.size - 1] = place
        self._read[place, 0] = self.size - 1
        return self.size

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._places = {node: self._places[node] for node in nodes}
        first = {place: self._window(place.depth + 1) for place in self._places.values()}
        self._read = {
            (place, window): number
            for (place, window), number in self._read.items()
            if place in first and window >= first[place]
        }
        self._tree.keep(self._read.values())
        self._forget_before(min(first.values(), default=0) * self._step)

    def cache_of(self, node: int, size: int) -> Any:
        """Keys and values of the first so many tokens up to a node; None if they are not whole."""
        number = self._read.get((self._places[node], 0))
        if number is None or not isinstance(self._tree, AttentionTree):
            return None
        return self._tree.cache_of(number, size)

    def _window(self, depth: int) -> int:
        """The window that answers for sequences of so many tokens."""
        return max(0, -((self.length - depth) // self._step))

    def _unread(self, place: Place, window: int) -> list[Place]:
        """What a window has yet to read of a sequence, in order."""
        found: list[Place] = []
        above: Place | None = place
        while (
            above is not None
            and above.depth > window * self._step
            and (above, window) not in self._read
        ):
            found.append(above)
            above = above.parent
        return found[::-1]

    def _answers(
        self, parents: list[int], tokens: list[int], asked: list[int]
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree of the model, part by part."""
        found = []
        for start in range(0, len(tokens), PART):
            here = [at - start for at in asked if start <= at < start + PART]
            part = slice(start, start + PART)
            logits = self._tree.extend(parents[part], tokens[part], asked=here or [0])
            found.append(logits[: len(here)])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _forget_before(self, depth: int) -> None:
        """Let go of tokens that no window will read again."""
        if depth <= self._cut:
            return
        self._cut = depth
        for place in self._places.values():
            above = place
            while above.parent is not None and above.depth > depth + 1:
                above = above.parent
            above.parent = None
