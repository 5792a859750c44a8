"""A tree whose answers are any function of the token sequence, and streams over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from tokxfer.bytelevel.asking import advance
from tokxfer.bytelevel.frontier import Frontier
from tokxfer.bytelevel.law import ByteLaw
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.treemodel import ROOT

Answer = Callable[[list[int]], torch.Tensor]


class FunctionTree:
    """A `TreeModel` that remembers which sequences it was asked at, and forgets what it may.

    Args:
        answer: Logits of the next token for a sequence.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer, self.size = answer, 0
        self.rows: dict[int, list[int]] = {ROOT: []}
        self.seen: list[list[int]] = []

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree."""
        first, self.size = self.size, self.size + len(tokens)
        for at, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
            self.rows[first + at] = [*self.rows[parent], token]
        wanted = [self.rows[first + at] for at in (range(len(tokens)) if asked is None else asked)]
        self.seen += wanted
        return torch.stack([self.answer(row) for row in wanted])

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest."""
        self.rows = {node: self.rows[node] for node in (ROOT, *nodes)}


class Reader:
    """One stream over a function: a text read in parts, and its laws.

    Args:
        tokens: The vocabulary.
        answer: Logits of the next token for a sequence.
        frontier: Where the text begins; by default, by the rule of the vocabulary.
        epsilon: See `Stream`.
    """

    def __init__(
        self,
        tokens: TokenShares,
        answer: Answer,
        frontier: Frontier | None = None,
        epsilon: float = 0.0,
    ) -> None:
        self.tree = FunctionTree(answer)
        frontier = frontier or Frontier(tokens.rule, tokens.whole)
        self.stream = Stream(tokens, ROOT, answer([]), frontier, epsilon)
        self.laws = [self.stream.law]

    def read(self, *parts: bytes) -> list[ByteLaw]:
        """Go on by some bytes, part by part; all laws from the beginning on."""
        for part in parts:
            (laws,) = advance(self.tree, [self.stream], [part])
            self.laws += laws
        return self.laws
