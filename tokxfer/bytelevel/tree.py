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
        places: [places] the bytes before each of these: every place, or those that are asked for.
    """

    text: bytes
    nodes: list[Node]
    parents: Int[np.ndarray, " nodes"]
    tokens: Int[np.ndarray, " nodes"]
    live: list[list[Live]]
    places: Int[np.ndarray, " places"]

    @classmethod
    def of(cls, text: bytes, frontier: Frontier) -> CoverTree:
        """The tree of a text that goes on from a frontier at its root."""
        nodes, live = list(frontier.here), [frontier.live]
        for byte in text:
            nodes += frontier.step(byte)
            live.append(frontier.live)
        return cls._of(text, nodes, live, np.arange(len(text) + 1))

    def at(self, places: Int[np.ndarray, " some"]) -> CoverTree:
        """What the laws at some places rest on: nodes that are live or end there, and their way.

        Elsewhere little more is left than one tokenization of the text.
        """
        places, kept = np.unique(places), set(self.nodes[:1])
        live, wanted = [self.live[place] for place in places.tolist()], set(places.tolist())
        starts = [entry.node for some in live for entry in some]
        for start in [*starts, *(node for node in self.nodes if node.offset in wanted)]:
            node: Node | None = start
            while node is not None and node not in kept:
                kept.add(node)
                node = node.parent
        return self._of(self.text, [node for node in self.nodes if node in kept], live, places)

    @classmethod
    def _of(
        cls, text: bytes, nodes: list[Node], live: list[list[Live]], places: Int[np.ndarray, " p"]
    ) -> CoverTree:
        numbers = {node: number for number, node in enumerate(nodes)}
        parents = [-1 if node.parent is None else numbers[node.parent] for node in nodes]
        tokens = [node.token for node in nodes]
        return cls(text, nodes, np.array(parents), np.array(tokens), live, places)

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
