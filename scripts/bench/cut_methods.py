"""What comes next behind a text that is cut anywhere: by bytes, by tokens, by token healing.

Each method gives the log-probability of the bytes behind the cut. Tokens: the prompt is encoded as
it stands, and tokens go on from there in any way. Healing: the prompt's last token is taken off,
and the next token must begin with its bytes, as transformers' `heal_tokens` has it. Bytes: the
canonical mass, by the chain rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.asking import advance
from tokxfer.bytelevel.filling import own_tokens
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.treemodel import ROOT, TreeModel

METHODS = ("tokens", "healing", "bytes")
EPSILON = 1e-4
TOGETHER = 16  # cuts that are gone on from side by side


class PinnedTree:
    """A tree that never forgets some of its nodes: those of the text's own tokens."""

    def __init__(self, tree: TreeModel) -> None:
        self._tree, self._pinned = tree, dict[int, None]()

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return self._tree.size

    def pin(self, parent: int, token: int) -> tuple[int, torch.Tensor]:
        """Put a node into the tree for good; its number, and the answer there."""
        number = self._tree.size
        with torch.no_grad():
            logits = self._tree.extend([parent], [token])[0]
        self._pinned[number] = None
        return number, logits

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree: see `TreeModel`."""
        return self._tree.extend(parents, tokens, asked)

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: see `TreeModel`."""
        self._tree.keep({**self._pinned, **dict.fromkeys(nodes)})


class Cuts:
    """One text, cut at every byte.

    Args:
        lm: The model under the law `all`, with a horizon beyond what is asked.
        canonical: The same model under the canonical law.
        data: The text.
        following: How many bytes behind a cut are asked for.
    """

    def __init__(self, lm: ByteLM, canonical: ByteLM, data: bytes, following: int) -> None:
        self.lm, self.canonical, self.data, self.following = lm, canonical, data, following
        self.offsets = range(1, len(data) - following + 1)
        self.ids = [own_tokens(canonical, data[:offset]) for offset in self.offsets]
        self._tree = PinnedTree(lm.tree(windowed=False))
        self._nodes: dict[tuple[int, ...], tuple[int, torch.Tensor]] = {}

    def nats(self) -> dict[str, np.ndarray]:
        """The log-probability of the bytes behind each cut [offsets], by method."""
        scores = self.canonical.score(self.data).nats.numpy()
        sums = np.concatenate([[0.0], np.cumsum(scores)])
        starts = np.array(self.offsets)
        return {
            "tokens": self._tokens(healed=False),
            "healing": self._tokens(healed=True),
            "bytes": sums[starts + self.following] - sums[starts],
        }

    def inside(self) -> np.ndarray:
        """Whether each cut [offsets] lies within a token of the text's own encoding."""
        ends = np.cumsum([len(self.lm.tokens.rule.tokens[t]) for t in own_tokens(
            self.canonical, self.data)])  # fmt: skip
        return ~np.isin(np.array(self.offsets), ends)

    def laws(self, offset: int) -> dict[str, np.ndarray]:
        """Log-probabilities of the byte behind one cut [outcomes], by method."""
        found = {"tokens": self._begun([offset], healed=False)[0].law.nats}
        found["healing"] = self._begun([offset], healed=True)[0].law.nats
        found["bytes"] = self.canonical.next_byte(self.data[:offset]).found.nats
        return found

    def _tokens(self, *, healed: bool) -> np.ndarray:
        found: list[float] = []
        for start in range(0, len(self.offsets), TOGETHER):
            found += self._some(self.offsets[start : start + TOGETHER], healed=healed)
        return np.array(found)

    def _some(self, offsets: Sequence[int], *, healed: bool) -> list[float]:
        streams = self._begun(offsets, healed=healed)
        masses = [log_mass(stream) if healed else 0.0 for stream in streams]
        data = [self.data[offset : offset + self.following] for offset in offsets]
        advance(self._tree, streams, data)
        return [log_mass(stream) - mass for stream, mass in zip(streams, masses, strict=True)]

    def _begun(self, offsets: Sequence[int], *, healed: bool) -> list[Stream]:
        """Streams that stand at some cuts."""
        streams, before = [], []
        for offset in offsets:
            ids = self.ids[offset - 1]
            kept = ids[:-1] if healed else ids
            number, logits = self._read((self.lm.begin or 0, *kept))
            streams.append(Stream(self.lm.tokens, number, logits, self.lm.frontier(), EPSILON))
            behind = sum(len(self.lm.tokens.rule.tokens[token]) for token in kept)
            before.append(self.data[behind:offset])
        if healed:
            advance(self._tree, streams, before)
            for stream in streams:
                self._one_token(stream)
            advance(self._tree, streams, [b""] * len(streams))
        return streams

    def _one_token(self, stream: Stream) -> None:
        """Leave only what one token from the beginning covers the bytes with."""
        frontier = stream.frontier
        frontier.here = [node for node in frontier.here if node.depth == 1]
        frontier.live = [
            one for one in frontier.live if one.node.depth == 0 or one.node in frontier.here
        ]

    def _read(self, ids: tuple[int, ...]) -> tuple[int, torch.Tensor]:
        """The node of some ids, and the answer there."""
        if ids not in self._nodes:
            parent = self._read(ids[:-1])[0] if len(ids) > 1 else ROOT
            self._nodes[ids] = self._tree.pin(parent, ids[-1])
        return self._nodes[ids]


def log_mass(stream: Stream) -> float:
    """Log-mass of a stream's text, half of what was not asked included."""
    law = stream.law
    return float(np.logaddexp(law.mass, law.missing - math.log(2)))
