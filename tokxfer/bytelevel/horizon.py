"""All token sequences over the last bytes of a text; what lies further back is canonical.

The sequences that spell a text grow in number by a factor with every byte. So one that strays from
the tokenizer's own ways is gone on with only until that lies further back than a horizon.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from dataclasses import dataclass

from tokxfer.bytelevel.frontier import Frontier, Node
from tokxfer.bytelevel.rules import Rule
from tokxfer.bytelevel.runs import Run

NEVER = sys.maxsize


@dataclass(eq=False, repr=False, slots=True)
class FreeNode(Node):
    """A sequence of tokens that may stray from the canonical ones.

    Attributes:
        canonical: The state of the canonical rule; None once it strays.
        strays: The bytes that it spells where it first does.
    """

    canonical: Hashable | None
    strays: int


class HorizonFrontier(Frontier):
    """The live nodes of a text so far under the law of all sequences.

    Those of its tokens that end before the horizon, or at it, are a canonical sequence.

    Args:
        rule: The law.
        vocabulary: The run of the whole vocabulary.
        canonical: The rule that says what the tokenizer itself would write.
        horizon: Bytes at the end within which tokens may end anyhow.
        begins: Whether a text begins here, or goes on from a context.
    """

    def __init__(
        self, rule: Rule, vocabulary: Run, canonical: Rule, horizon: int, *, begins: bool = True
    ) -> None:
        free, own = (rule.start, canonical.start) if begins else (rule.behind, canonical.behind)
        root = FreeNode(None, -1, 0, 0, free, own, NEVER)
        super().__init__(rule, vocabulary, root)
        self.horizon, self._canonical = horizon, canonical

    def step(self, byte: int) -> list[Node]:
        """Go on by a byte; the nodes that now end with the text."""
        here = super().step(byte)
        self.live = [live for live in self.live if self._counts(live.node)]
        self.here = [node for node in here if self._counts(node)]
        return self.here

    def _behind(self, node: Node, token: int, state: Hashable) -> Node:
        assert isinstance(node, FreeNode)
        canonical, strays = node.canonical, node.strays
        if canonical is not None:
            canonical = self._canonical.follow(canonical, token)
            strays = NEVER if canonical is not None else self.offset
        return FreeNode(node, token, self.offset, node.depth + 1, state, canonical, strays)

    def _counts(self, node: Node) -> bool:
        assert isinstance(node, FreeNode)
        return node.strays > self.offset - self.horizon
