"""Texts longer than a model: the tree is begun anew, on the last half of what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from tokxfer.bytelevel.treemodel import ROOT, TreeModel
from tokxfer.shapes import Float


@dataclass(eq=False, repr=False, slots=True)
class Place:
    """A node of one text: its number in the tree of today, and how it is reached."""

    parent: Place | None
    token: int
    depth: int
    number: int


class WindowedTree:
    """A tree of any depth for one text, on a model that takes only so many tokens.

    Before a node that would lie beyond them, a new tree is begun: what may still be extended, with
    what comes before it as far back as half the length. So every token is answered after at least
    about that much context, or all there is.

    Args:
        make: A new, empty tree of the model.
        length: Tokens that the model takes.
    """

    def __init__(self, make: Callable[[], TreeModel], length: int) -> None:
        self._make, self.length = make, length
        self._tree, self.size = make(), 0
        self._places: dict[int, Place] = {}

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> Float[torch.Tensor, "nodes ids"]:
        """Put nodes into the tree: see `TreeModel`."""
        wanted = range(len(tokens)) if asked is None else asked
        parts, start = list[torch.Tensor](), 0
        while start < len(tokens):
            stop = self._reserve(parents, tokens, start)
            if stop > start:
                here = [at - start for at in wanted if start <= at < stop]
                places = [self._places[self.size + at - start] for at in range(start, stop)]
                before = [p.parent.number if p.parent else ROOT for p in places]
                answers = self._tree.extend(before, tokens[start:stop], asked=here or [0])
                parts.append(answers[: len(here)])
                self.size += stop - start
            if stop < len(tokens):
                self._begin_anew()
            start = stop
        return torch.cat(parts)

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._places = {node: self._places[node] for node in nodes}
        self._tree.keep(place.number for place in self._places.values())

    def _reserve(self, parents: Sequence[int], tokens: Sequence[int], start: int) -> int:
        """Give places to the nodes from one on, up to the first that lies too deep."""
        for at in range(start, len(tokens)):
            before = None if parents[at] == ROOT else self._places[parents[at]]
            depth = before.depth + 1 if before else 1
            if depth > self.length:
                return at
            new = at - start
            self._places[self.size + new] = Place(before, tokens[at], depth, self._tree.size + new)
        return len(tokens)

    def _begin_anew(self) -> None:
        deepest = max(place.depth for place in self._places.values())
        cut = deepest - max(1, self.length // 2)
        self._places = {n: place for n, place in self._places.items() if place.depth > cut}
        needed: dict[Place, None] = {}
        for place in self._places.values():
            above: Place | None = place
            while above is not None and above.depth > cut and above not in needed:
                needed[above] = None
                above = above.parent
        ordered = sorted(needed, key=lambda place: place.depth)
        self._tree = self._make()
        numbers = {place: number for number, place in enumerate(ordered)}
        parents = [ROOT if p.parent is None else numbers.get(p.parent, ROOT) for p in ordered]
        self._tree.extend(parents, [place.token for place in ordered], asked=[0])
        for place, number in numbers.items():
            place.number, place.depth = number, place.depth - cut
            if place.depth == 1:
                place.parent = None
