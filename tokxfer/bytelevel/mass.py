"""From a model's answers at all nodes of a tree to masses of bytes, with gradients.

The mass of a byte string is the sum, over the token sequences that the rule allows and whose last
token reaches or passes its end, of their probabilities (2410.09303).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from tokxfer.bytelevel.frontier import Live
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.shapes import Float

CHUNK = 64  # nodes whose shares exist at once, in double precision
BYTES = 256


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
        nothing = joint.isneginf().all(dim=1, keepdim=True)
        whole = joint.masked_fill(nothing, 0.0).logsumexp(dim=1, keepdim=True)
        return (joint - whole).clamp(min=IMPOSSIBLE)


def byte_masses(
    tree: CoverTree, tokens: TokenShares, logits: Float[torch.Tensor, "nodes ids"]
) -> ByteMasses:
    """The masses of a text's beginnings.

    Args:
        tree: The text's tree.
        tokens: The vocabulary.
        logits: The model's answers at the nodes.
    """
    device = logits.device
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    whole = logits.logsumexp(dim=1)
    edges = logits[tree.parents[1:], tree.tokens[1:]] - whole[tree.parents[1:]]
    comes_behind = torch.from_numpy(tree.ancestors()[:, 1:]).to(device, torch.float64)
    never = edges.isneginf()
    reached = comes_behind @ edges.masked_fill(never, 0.0).double()
    reached = reached.masked_fill(comes_behind @ never.double() > 0, -torch.inf)
    ends = torch.tensor([tokens.rule.ends(node.state) for node in tree.nodes], device=device)
    stops = logits[:, tokens.stops].double().logsumexp(dim=1) - whole
    stopped = (reached + stops).masked_fill(~ends, -torch.inf)

    numbers = {node: number for number, node in enumerate(tree.nodes)}
    entries = [(numbers[e.node], place, e) for place, live in enumerate(tree.live) for e in live]
    entries.sort(key=lambda entry: entry[0])
    parts = []
    for start in range(0, len(tree), CHUNK):
        stop = min(start + CHUNK, len(tree))
        here = [(number - start, live) for number, _, live in entries if start <= number < stop]
        told = logits[start:stop], whole[start:stop]
        parts.append(checkpoint(going_on, *told, tokens, tree, start, here, use_reentrant=False))
    nodes = torch.tensor([number for number, _, _ in entries], device=device)
    places = torch.tensor([place for _, place, _ in entries], device=device)
    longer = torch.cat(parts) + reached[nodes][:, None]
    offsets = torch.tensor([node.offset for node in tree.nodes], device=device)
    passing = places > offsets[nodes]
    covering = torch.cat([longer[passing].logsumexp(dim=1), reached])
    count = len(tree.text) + 1
    return ByteMasses(
        beginnings=log_sums(covering, torch.cat([places[passing], offsets]), count),
        longer=log_sums(longer, places, count),
        stopped=log_sums(stopped, offsets, count),
    )


def going_on(
    logits: Float[torch.Tensor, "nodes ids"],
    whole: Float[torch.Tensor, " nodes"],
    tokens: TokenShares,
    tree: CoverTree,
    start: int,
    entries: list[tuple[int, Live]],
) -> Float[torch.Tensor, "entries 256"]:
    """Log-shares of the tokens that go on with each byte, for live nodes given by their row."""
    device, size = logits.device, len(tokens.order.ids)
    states = [node.state for node in tree.nodes[start : start + len(logits)]]
    allowed = torch.from_numpy(np.stack([tokens.rule.allowed(state) for state in states]))
    ids = torch.from_numpy(tokens.order.ids).to(device)
    shares = (logits.index_select(1, ids).double() - whole[:, None]).exp()
    shares = torch.where(allowed.to(device).index_select(1, ids), shares, 0.0).flatten()
    taken, slots = [], []
    for slot, (row, live) in enumerate(entries):
        run = live.run
        taken.append(np.arange(run.longer, run.last) + row * size)
        slots.append(tokens.order.next_bytes(run.longer, run.last, run.depth) + slot * BYTES)
    sums = torch.zeros(len(entries) * BYTES, dtype=torch.float64, device=device)
    places = torch.from_numpy(np.concatenate(slots)).to(device)
    sums = sums.index_add(0, places, shares[torch.from_numpy(np.concatenate(taken)).to(device)])
    some = sums > 0
    nats = torch.where(some, sums, 1.0).log().masked_fill(~some, -torch.inf)
    return nats.view(len(entries), BYTES)


def log_sums(
    nats: Float[torch.Tensor, "rows ..."], groups: torch.Tensor, count: int
) -> Float[torch.Tensor, "groups ..."]:
    """Logarithms of the sums of exponentials over the rows of each group; −inf for none."""
    where = groups.view(-1, *[1] * (nats.dim() - 1)).expand_as(nats)
    top = torch.full((count, *nats.shape[1:]), -torch.inf, dtype=nats.dtype, device=nats.device)
    top = top.scatter_reduce(0, where, nats.detach(), "amax")
    top = top.masked_fill(top == -torch.inf, 0.0)
    sums = torch.zeros_like(top).index_add(0, groups, (nats - top[groups]).exp())
    some = sums > 0
    return (torch.where(some, sums, 1.0).log() + top).masked_fill(~some, -torch.inf)
