"""All token sequences over the last bytes of a text; what lies further back is committed.

The sequences that spell a text grow in number by a factor with every byte. Beyond a horizon only
one of them is gone on with: the tokenizer's own.
"""

from __future__ import annotations

from tokxfer.bytelevel.frontier import Frontier, Live, Node
from tokxfer.bytelevel.rules import Rule
from tokxfer.bytelevel.runs import Run


class HorizonFrontier(Frontier):
    """The live nodes of a text so far under the law of all sequences.

    Args:
        rule: The law.
        vocabulary: The run of the whole vocabulary.
        canonical: The rule that says what the tokenizer itself would write.
        horizon: Bytes at the end that may be tokenized in any way; more may, up to the next token
            of the tokenizer's own.
    """

    def __init__(self, rule: Rule, vocabulary: Run, canonical: Rule, horizon: int) -> None:
        super().__init__(rule, vocabulary)
        self.horizon, self._canonical = horizon, canonical
        self._root, self._since = self.here[0], bytearray()
        self._lead(b"")

    def step(self, byte: int) -> list[Node]:
        """Go on by a byte; the nodes that now end with the text."""
        super().step(byte)
        self._since.append(byte)
        self._guide.step(byte)
        if (node := self._own()) is not None and not self._commit(node):
            self._lead(bytes(self._since))
            if (node := self._own()) is not None:
                self._commit(node)
        return self.here

    def _lead(self, since: bytes) -> None:
        """Let the tokenizer's own tokens lead on from the root, as if the text began there."""
        self._guide = Frontier(self._canonical, self.vocabulary)
        self._guide_root = self._guide.here[0]
        for byte in since:
            self._guide.step(byte)

    def _own(self) -> Node | None:
        """The tokenizer's own tokens for the text."""
        return next((n for n in self._guide.here if self._guide.rule.ends(n.state)), None)

    def _commit(self, node: Node) -> bool:
        """Drop what does not go on from the tokenizer's own tokens up to the horizon.

        They may pass the root by, because the last bytes brought others about; then not.
        """
        tail: list[int] = []
        far = node.offset - self.horizon
        target: Node | None = node
        while target is not None and target is not self._guide_root and target.offset > far:
            target = target.parent
        above = target
        while above is not None and above is not self._guide_root:
            tail.append(above.token)
            above = above.parent
        if target is None or above is None:
            return False
        root = next((found for live in self.live if (found := self._below(live, tail))), None)
        if root is None or not tail:
            return True
        del self._since[: root.offset - self._root.offset]
        self._guide_root, self._root = target, root
        self.live = [live for live in self.live if self._ancestor(live.node, root.depth) is root]
        self.here = [node for node in self.here if self._ancestor(node, root.depth) is root]
        return True

    def _below(self, live: Live, tail: list[int]) -> Node | None:
        """The node reached from the root by some tokens, last first, if a live one is behind it."""
        found = self._ancestor(live.node, self._root.depth + len(tail))
        node = found
        for token in tail:
            if node is None or node.token != token:
                return None
            node = node.parent
        return found if node is self._root else None

    @staticmethod
    def _ancestor(node: Node, depth: int) -> Node | None:
        """The beginning of a sequence that has so many tokens; None if it has fewer."""
        above: Node | None = node
        while above is not None and above.depth > depth:
            above = above.parent
        return above if above is not None and above.depth == depth else None
