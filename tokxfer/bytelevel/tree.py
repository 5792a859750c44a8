"""All canonical tokenizations of all beginnings of a text, as one tree.

A node is a token sequence that spells a beginning of the text exactly; its parent lacks the last
token. For a canonical rule there is about one node a byte: the encoding of every beginning, and a
few more where later bytes decide.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.shapes import Bool, Int

ROOT = 0


@dataclass(frozen=True, eq=False)
class CoverTree:
    """Token sequences that spell beginnings of one text; parents come before children.

    Attributes:
        text: The bytes.
        tokens: [nodes] the last token; −1 at the root, which is the context.
        parents: [nodes] −1 at the root.
        offsets: [nodes] bytes of the text that a node spells.
        depths: [nodes] tokens behind the context.
        states: [nodes] the rule's.
    """

    text: bytes
    tokens: Int[np.ndarray, " nodes"]
    parents: Int[np.ndarray, " nodes"]
    offsets: Int[np.ndarray, " nodes"]
    depths: Int[np.ndarray, " nodes"]
    states: tuple[Hashable, ...]

    @classmethod
    def of(cls, text: bytes, rule: Rule, order: ByteOrder) -> CoverTree:
        """The tree of a text that begins in the rule's first state."""
        tokens, parents, offsets, depths = [-1], [-1], [0], [0]
        states: list[Hashable] = [rule.start]
        ending: list[list[int]] = [[ROOT], *([] for _ in text)]
        for offset in range(len(text)):
            for node in ending[offset]:
                for size, (first, last) in enumerate(order.along(text, offset), start=1):
                    for token in order.exactly(first, last, size):
                        state = rule.follow(states[node], token)
                        if state is not None:
                            ending[offset + size].append(len(tokens))
                            tokens.append(token)
                            parents.append(node)
                            offsets.append(offset + size)
                            depths.append(depths[node] + 1)
                            states.append(state)
        return cls(
            text=text,
            tokens=np.array(tokens),
            parents=np.array(parents),
            offsets=np.array(offsets),
            depths=np.array(depths),
            states=tuple(states),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def children(self) -> list[list[int]]:
        """The children of every node."""
        found: list[list[int]] = [[] for _ in self.states]
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                found[parent].append(node)
        return found

    def ancestors(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Whether a node [row] comes behind another [column] or is it; the root is of all."""
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents[1:].tolist(), start=1):
            seen[node] |= seen[parent]
        return seen
