"""All token sequences over the last bytes of a text; what lies further back is canonical.

The sequences that spell a text grow in number by a factor with every byte. So one that strays from
the tokenizer's own ways is gone on with only until that lies further back than a horizon.

Some tokenizers have no way of their own to spell what their tokens can: two spaces, where white
space is dropped. Where tokens end but no canonical sequence does, one is committed all the same,
and a canonical one begins anew behind it: nothing that tokens spell is impossible.
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
        anew: How many times the canonical rule began anew within it, and where it last did.
    """

    canonical: Hashable | None
    strays: int
    anew: tuple[int, int] = (0, 0)


class HorizonFrontier(Frontier):
    """The live nodes of a text so far under the law of all sequences.

    Those of its tokens that end before the horizon, or at it, are a canonical sequence; or several,
    where one alone cannot spell them.

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
        self._commit([node for node in here if isinstance(node, FreeNode)])
        self.live = [live for live in self.live if self._counts(live.node)]
        self.here = [node for node in here if self._counts(node)]
        return self.here

    def _behind(self, node: Node, token: int, state: Hashable) -> Node:
        assert isinstance(node, FreeNode)
        canonical, strays = node.canonical, node.strays
        if canonical is not None:
            canonical = self._canonical.follow(canonical, token)
            strays = NEVER if canonical is not None else self.offset
        depth = node.depth + 1
        return FreeNode(node, token, self.offset, depth, state, canonical, strays, node.anew)

    def _commit(self, here: list[FreeNode]) -> None:
        """Let what began anew least often, of what ends here, be the only canonical one.

        If nothing is, the rule begins anew behind the longest token that has strayed only now.
        """
        own = [node for node in here if node.canonical is not None]
        if own:
            least = min(node.anew for node in own)
            for node in own:
                if node.anew > least:
                    node.canonical, node.strays = None, self.offset
        elif here:
            node = min((n for n in here if n.strays == self.offset), key=lambda n: n.anew)
            node.canonical, node.strays = self._canonical.behind, NEVER
            node.anew = (node.anew[0] + 1, self.offset)

    def _counts(self, node: Node) -> bool:
        assert isinstance(node, FreeNode)
        return node.strays > self.offset - self.horizon
