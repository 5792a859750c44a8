"""The canonical tokenizations of a text, byte by byte.

A node is a token sequence that spells a beginning of the text exactly. Those that some token goes
on from, through the bytes since and beyond, are live: they and that run of tokens are the frontier.
For a canonical rule there is about one new node a byte, and a handful are live.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Hashable
from dataclasses import dataclass

from tokxfer.bytelevel.rules import Rule
from tokxfer.bytelevel.runs import Run

FOLDED = 64  # tokens that all live nodes share and that become mere numbers at once


@dataclass(eq=False, repr=False, slots=True)
class Node:
    """A sequence of tokens.

    Attributes:
        parent: The sequence without its last token; None for the context.
        token: The last token; −1 for the context.
        offset: The bytes that it spells.
        depth: Its tokens.
        state: The rule's.
    """

    parent: Node | None
    token: int
    offset: int
    depth: int
    state: Hashable

    def path(self) -> list[int]:
        """All its tokens."""
        found: list[int] = []
        node: Node = self
        while node.parent is not None:
            found.append(node.token)
            node = node.parent
        first = node.ids[: node.depth].tolist() if isinstance(node, Folded) else []
        return [*first, *reversed(found)]


@dataclass(eq=False, repr=False, slots=True)
class Folded(Node):
    """A sequence of tokens that nothing but what comes behind it is known of.

    Attributes:
        ids: Its tokens, and perhaps more.
    """

    ids: array[int]


@dataclass(frozen=True, slots=True)
class Live:
    """A node, and the tokens that go on from it through the bytes since."""

    node: Node
    run: Run


class Frontier:
    """The live nodes of a text so far.

    Args:
        rule: Which sequences are meant.
        vocabulary: The run of the whole vocabulary.
        root: The node that the text begins at.

    Attributes:
        live: Nodes by offset, the earliest first.
        here: Those of them that end with the text so far.
    """

    def __init__(self, rule: Rule, vocabulary: Run, root: Node | None = None) -> None:
        self.rule, self.vocabulary = rule, vocabulary
        root = root or Node(None, -1, 0, 0, rule.start)
        self.offset = root.offset
        self.here = [root]
        self.live = [Live(root, vocabulary)]
        self._ids = array("q")

    def step(self, byte: int) -> list[Node]:
        """Go on by a byte; the nodes that now end with the text."""
        self.offset += 1
        live, here = [], []
        for old in self.live:
            run = old.run.below.get(byte)
            if run is None:
                continue
            node = old.node
            for token in run.exact:
                state = self.rule.follow(node.state, token)
                if state is not None:
                    here.append(self._behind(node, token, state))
            if run.longer < run.last and self._goes_on(node, run):
                live.append(Live(node, run))
        self.live = [*live, *(Live(node, self.vocabulary) for node in here)]
        self.here = here
        return here

    def fold(self, asked: Container[Node]) -> None:
        """Keep as mere numbers the tokens that all live nodes share, so that texts may be long.

        Args:
            asked: Nodes in whose beginnings nobody is interested any more but for their tokens.
        """
        if not self.live or self.live[0].node.depth < len(self._ids) + FOLDED:
            return
        common = self.live[0].node
        for live in self.live:
            common = shared(common, live.node)
        node: Node | None = common
        while node is not None and node not in asked:
            node = node.parent
        last = node or common
        before, tail = last.parent, list[int]()
        node = before
        while node is not None and node.depth > len(self._ids):
            tail.append(node.token)
            node = node.parent
        if before is not None and tail:
            self._ids.extend(reversed(tail))
            last.parent = Folded(None, before.token, before.offset, before.depth, None, self._ids)

    def _behind(self, node: Node, token: int, state: Hashable) -> Node:
        """The node behind one by a token that ends here."""
        return Node(node, token, self.offset, node.depth + 1, state)

    def _goes_on(self, node: Node, run: Run) -> bool:
        ids = run.order.ids[run.longer : run.last]
        return bool(self.rule.allowed(node.state)[ids].any())


def shared(first: Node, second: Node) -> Node:
    """The longest beginning that two sequences share."""
    while first is not second:
        if first.depth < second.depth:
            first, second = second, first
        assert first.parent is not None
        first = first.parent
    return first
