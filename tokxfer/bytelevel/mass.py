"""From the probabilities of tokens at the nodes of a tree to those of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.bytelevel.tree import ROOT, CoverTree
from tokxfer.shapes import Float

IMPOSSIBLE = -1e30
CHUNK = 64  # nodes whose probabilities exist at once in double precision


@dataclass(frozen=True, eq=False)
class ByteMasses:
    """Masses of every beginning of a text, one byte longer or stopped, in nats.

    Attributes:
        beginnings: [bytes + 1] of the text's beginnings.
        longer: [bytes + 1, 256] of each beginning with one more byte.
        stopped: [bytes + 1] of each beginning as a whole text.
    """

    beginnings: Float[torch.Tensor, " places"]
    longer: Float[torch.Tensor, "places 256"]
    stopped: Float[torch.Tensor, " places"]

    def conditionals(self) -> Float[torch.Tensor, "places 257"]:
        """Log-probabilities of the next byte, and last of the stop, at every place.

        The masses of what may come next, renormalised: with a canonical rule some mass goes to
        sequences that no text is encoded as.
        """
        joint = torch.cat([self.longer, self.stopped[:, None]], dim=1)
        return (joint - joint.logsumexp(dim=1, keepdim=True)).clamp(min=IMPOSSIBLE)


def byte_masses(
    tree: CoverTree,
    rule: Rule,
    order: ByteOrder,
    nats_of: Callable[[torch.Tensor], Float[torch.Tensor, "nodes ids"]],
    stops: list[int],
) -> ByteMasses:
    """The masses of a text's beginnings from a model's answers at the nodes of its tree.

    The mass of a byte string is the sum, over the token sequences that the rule allows and whose
    last token reaches or passes its end, of their probabilities (2410.09303).

    Args:
        tree: The text's tree.
        rule: The rule that it was made by.
        order: The vocabulary by bytes.
        nats_of: Log-probabilities of the next token [nodes, ids] at some nodes.
        stops: Ids that end a text.
    """
    size, text = len(tree.text), tree.text
    runs = [list(order.along(text, offset)) for offset in range(size)] + [[]]
    ids = torch.from_numpy(order.ids)
    reached = torch.full((len(tree),), -torch.inf, dtype=torch.float64)
    reached[ROOT] = 0.0
    longer = torch.zeros(size + 1, 256, dtype=torch.float64)
    stopped = torch.zeros(size + 1, dtype=torch.float64)
    passing = torch.zeros(size + 1, dtype=torch.float64)
    children = tree.children()
    for start in range(0, len(tree), CHUNK):
        nodes = torch.arange(start, min(start + CHUNK, len(tree)))
        nats = nats_of(nodes).double()
        for row, node in enumerate(nodes.tolist()):
            below = children[node]
            if below:
                reached[below] = reached[node] + nats[row, tree.tokens[below]]
            offset = int(tree.offsets[node])
            weight = reached[node].exp()
            state = tree.states[node]
            if rule.ends(state) and stops:
                stopped[offset] += weight * nats[row, stops].exp().sum()
            allowed = torch.from_numpy(rule.allowed(state)[order.ids])
            shares = weight * torch.where(allowed, nats[row, ids].exp(), 0.0)
            spans = [(0, len(ids)), *runs[offset]]
            for depth, (first, last) in enumerate(spans):
                bytes_there = torch.from_numpy(order.next_bytes(first, last, depth))
                going = bytes_there >= 0
                longer[offset + depth].index_add_(0, bytes_there[going], shares[first:last][going])
                if depth:
                    passing[offset + depth] += shares[first:last][going].sum()
    exact = torch.zeros(size + 1, dtype=torch.float64)
    exact.index_add_(0, torch.from_numpy(tree.offsets), reached.exp())
    return ByteMasses((exact + passing).log(), longer.log(), stopped.log())
