"""All canonical tokenizations of all beginnings of a text, as one tree of arrays.

For a canonical rule there is about one node a byte: the encoding of every beginning, and a few more
where later bytes decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokxfer.bytelevel.frontier import Frontier, Live, Node
from tokxfer.shapes import Bool, Int


@dataclass(frozen=True, eq=False)
class CoverTree:
    """Token sequences that spell beginnings of one text; parents come before children.

    Attributes:
        text: The bytes.
        nodes: The sequences; the first is the context.
        parents: [nodes] −1 at the context.
        tokens: [nodes] the last token; −1 at the context.
        live: At every place, before each byte and behind the last, the nodes that go on there.
    """

    text: bytes
    nodes: list[Node]
    parents: Int[np.ndarray, " nodes"]
    tokens: Int[np.ndarray, " nodes"]
    live: list[list[Live]]

    @classmethod
    def of(cls, text: bytes, frontier: Frontier) -> CoverTree:
        """The tree of a text that goes on from a frontier at its root."""
        nodes, live = list(frontier.here), [frontier.live]
        for byte in text:
            nodes += frontier.step(byte)
            live.append(frontier.live)
        numbers = {node: number for number, node in enumerate(nodes)}
        return cls(
            text=text,
            nodes=nodes,
            parents=np.array([-1 if n.parent is None else numbers[n.parent] for n in nodes]),
            tokens=np.array([node.token for node in nodes]),
            live=live,
        )

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def offsets(self) -> Int[np.ndarray, " nodes"]:
        """The bytes of the text that each node spells [nodes]."""
        return np.array([node.offset for node in self.nodes])

    def ancestors(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Whether a node [row] comes behind another [column] or is it; the root is of all."""
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents[1:].tolist(), start=1):
            seen[node] |= seen[parent]
        return seen
