"""Known bytes that a text goes on with: their nodes, and where each matters."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np

from tokxfer.bytelevel.frontier import Frontier, Live, Node
from tokxfer.shapes import Float


@dataclass(slots=True)
class Entry:
    """A live node at one place, and what it gives to each next byte once it is asked.

    Attributes:
        live: The node, and the tokens that go on from it.
        sums: The share of these by next byte; None before the node is asked.
        nats: Log of the share of them all.
    """

    live: Live
    sums: Float[np.ndarray, " branches"] | None = None
    nats: float = -math.inf


@dataclass(slots=True)
class Block:
    """The nodes of some known bytes.

    Attributes:
        places: Behind each byte the live nodes.
        ending: Behind each byte the nodes that end there.
        fresh: All nodes that came, parents first.
        by_node: The entries of each node.
        children: The nodes behind each node, of those that matter.
        until: The last place at which each node, or one behind it, is live; parents first.
        staying: The nodes live at the end.
    """

    places: list[list[Entry]] = field(default_factory=list)
    ending: list[list[Node]] = field(default_factory=list)
    fresh: list[Node] = field(default_factory=list)
    by_node: dict[Node, list[Entry]] = field(default_factory=dict)
    children: dict[Node, list[Node]] = field(default_factory=dict)
    until: dict[Node, int] = field(default_factory=dict)
    staying: frozenset[Node] = frozenset()

    @classmethod
    def of(cls, frontier: Frontier, data: bytes, asked: Container[Node] = ()) -> Block:
        """Take a frontier through some bytes; without any, the place where it stands.

        Args:
            frontier: It is changed.
            data: The bytes.
            asked: Nodes that were asked before.
        """
        block = cls()
        if not data:
            block._note(frontier, frontier.here)
        for byte in data:
            block._note(frontier, frontier.step(byte))
        block._reckon(asked)
        block.staying = frozenset(live.node for live in frontier.live)
        return block

    def _note(self, frontier: Frontier, ending: list[Node]) -> None:
        self.ending.append(ending)
        self.fresh += ending
        entries = [Entry(live) for live in frontier.live]
        self.places.append(entries)
        for entry in entries:
            self.by_node.setdefault(entry.live.node, []).append(entry)

    def _reckon(self, asked: Container[Node]) -> None:
        """Find until when every node matters, back to those that were asked before."""
        last: dict[Node, int] = {}
        for place in reversed(range(len(self.places))):
            for entry in self.places[place]:
                node: Node | None = entry.live.node
                while node is not None and node not in asked and node not in last:
                    last[node] = place
                    node = node.parent
        ordered = sorted(last, key=lambda node: (node.offset, node.depth))
        self.until = {node: last[node] for node in ordered}
        for node in ordered:
            if node.parent is not None:
                self.children.setdefault(node.parent, []).append(node)

    def trunk(self, asked: Container[Node]) -> list[Node]:
        """The nodes on the way to the last place from one that was asked: one way that ends there.

        Args:
            asked: Nodes that were asked before, in this block or earlier.
        """
        ending = next((nodes for nodes in reversed(self.ending) if nodes), [])
        found: list[Node] = []
        node: Node | None = ending[0] if ending else None
        while node is not None and node not in asked:
            found.append(node)
            node = node.parent
        return found[::-1]

    def alive_at_end(self, asked: Container[Node]) -> list[Node]:
        """The nodes that others may come behind, and those between them and one that was asked."""
        found: dict[Node, None] = {}
        for start in self.staying:
            node: Node | None = start
            while node is not None and node not in found:
                found[node] = None
                if node in asked:
                    break
                node = node.parent
        return list(found)
