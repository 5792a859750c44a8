"""From a model's answers at the nodes of a tree to shares of tokens and bytes, differentiable.

Each figure is the log of a sum of probabilities of tokens at one node, so that its gradient is
known from the answers themselves: they are gone through once in each direction, a few nodes at a
time, and nothing of their size is kept beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.shapes import Bool, Float, Int

BYTES = 256
NUMBERS = {"cpu": 1 << 19}  # of answers, in double precision, that are gone through at once
ELSEWHERE = 1 << 25
LEAST = -700.0  # logs of double precision end here


class Shares(NamedTuple):
    """What a tree's answers say, in nats and double precision.

    Attributes:
        longer: [entries, 256] share of the tokens that go on with each byte where a node is live.
        edges: [nodes - 1] share of the token that leads to each node but the first.
        stops: [nodes] share of all that end a text.
    """

    longer: Float[Tensor, "entries bytes"]
    edges: Float[Tensor, " edges"]
    stops: Float[Tensor, " nodes"]


def shares_of(logits: Float[Tensor, "nodes ids"], asked: Asked) -> Shares:
    """What a model's answers at a tree's nodes say of the tokens that may follow."""
    return Shares(*_Shares.apply(logits, asked))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of the answers at a tree's nodes.

    Attributes:
        tree: The tree.
        tokens: The vocabulary.
    """

    tree: CoverTree
    tokens: TokenShares

    @cached_property
    def entries(self) -> list[tuple[int, int, int]]:
        """Where nodes are live: the node, which of the tree's places, which of those live there."""
        numbers = {node: number for number, node in enumerate(self.tree.nodes)}
        return sorted(
            (numbers[live.node], place, at)
            for place, some in enumerate(self.tree.live)
            for at, live in enumerate(some)
        )

    @cached_property
    def nodes(self) -> Int[np.ndarray, " entries"]:
        """The node of each entry."""
        return np.array([node for node, _, _ in self.entries], dtype=np.int64)

    @cached_property
    def places(self) -> Int[np.ndarray, " entries"]:
        """Which of the tree's places each entry is at."""
        return np.array([place for _, place, _ in self.entries], dtype=np.int64)

    def chunks(self, device: torch.device) -> Iterator[Chunk]:
        """A few nodes at a time."""
        ids = len(self.tokens.places)
        size = max(1, NUMBERS.get(device.type, ELSEWHERE) // ids)
        bounds = range(0, len(self.tree), size)
        cuts = np.searchsorted(self.nodes, [*bounds, len(self.tree)]).tolist()
        for start, begin, end in zip(bounds, cuts[:-1], cuts[1:], strict=True):
            yield self._chunk(slice(start, start + size), slice(begin, end), device)

    def _chunk(self, nodes: slice, entries: slice, device: torch.device) -> Chunk:
        order, rule, ids = self.tokens.order, self.tokens.rule, len(self.tokens.places)
        whole, allowed, none = [], [], np.zeros(0, dtype=np.int64)
        taken, slots = [none], [none]
        for slot, (node, place, at) in enumerate(self.entries[entries]):
            run, row = self.tree.live[place][at].run, node - nodes.start
            mask = rule.allowed(self.tree.nodes[node].state)
            if run.depth == 0:
                whole.append((row, slot))
                allowed.append(mask)
                continue
            some = order.ids[run.longer : run.last]
            may = mask[some]
            taken.append(some[may] + row * ids)
            slots.append(order.next_bytes(run.longer, run.last, run.depth)[may] + slot * BYTES)
        rows, those = np.array(whole, dtype=np.int64).reshape(-1, 2).T
        return Chunk(
            nodes,
            entries,
            torch.from_numpy(rows.copy()).to(device),
            torch.from_numpy(those.copy()).to(device),
            torch.from_numpy(np.array(allowed, dtype=bool).reshape(-1, ids)).to(device),
            torch.from_numpy(np.concatenate(taken)).to(device),
            torch.from_numpy(np.concatenate(slots)).to(device),
        )

    def first_bytes(self, device: torch.device) -> Int[Tensor, " ids"]:
        """The first byte of every id; 256 for those that are not of text."""
        order = self.tokens.order
        found: npt.NDArray[np.int64] = np.full(len(self.tokens.places), BYTES)
        found[order.ids] = order.next_bytes(0, len(order.ids), 0)
        return torch.from_numpy(found).to(device)


class Chunk(NamedTuple):
    """A few nodes.

    Attributes:
        nodes, entries: Which they are, and theirs.
        whole: [some] rows of those that are live with the whole vocabulary.
        slots_of_whole: [some] their entries, counted from the chunk's first.
        allowed: [some, ids] the tokens that may follow there.
        taken: [tokens] the tokens that go on in the other entries, as places in all the answers.
        slots: [tokens] entry and byte that each counts for.
    """

    nodes: slice
    entries: slice
    whole: Int[Tensor, " some"]
    slots_of_whole: Int[Tensor, " some"]
    allowed: Bool[Tensor, "some ids"]
    taken: Int[Tensor, " tokens"]
    slots: Int[Tensor, " tokens"]


class _Shares(torch.autograd.Function):
    """See `shares_of`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        device = logits.device
        first = asked.first_bytes(device)
        whole = torch.empty(len(logits), dtype=torch.float64, device=device)
        sums = torch.zeros(len(asked.entries), BYTES, dtype=torch.float64, device=device)
        for chunk in asked.chunks(device):
            rows = logits[chunk.nodes].double()
            whole[chunk.nodes] = rows.logsumexp(dim=1)
            rows = rows - whole[chunk.nodes, None]
            found = sums[chunk.entries]
            found.view(-1).index_add_(0, chunk.slots, rows.view(-1)[chunk.taken].exp_())
            some = rows[chunk.whole].exp_().mul_(chunk.allowed)
            by_byte = some.new_zeros(len(some), BYTES + 1).index_add_(1, first, some)
            found.index_add_(0, chunk.slots_of_whole, by_byte[:, :BYTES])
        parents, ids = edges_of(asked.tree, device)
        edges = logits[parents, ids].double() - whole[parents]
        stops = logits[:, asked.tokens.stops].double().logsumexp(dim=1) - whole
        longer = sums.log_()
        ctx.save_for_backward(logits, whole, longer, stops)
        ctx.asked = asked
        return longer, edges, stops

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_longer: Tensor, of_edges: Tensor, of_stops: Tensor
    ) -> tuple[Tensor, None]:
        """Of each sum S of probabilities p: the gradient of log S is p/S within it, less p."""
        logits, whole, longer, stops = ctx.saved_tensors
        asked, device, ending = ctx.asked, logits.device, ctx.asked.tokens.stops
        of_longer = of_longer.masked_fill(longer.isneginf(), 0.0)
        of_stops = of_stops.masked_fill(stops.isneginf(), 0.0)
        parents, ids = edges_of(asked.tree, device)
        first = asked.first_bytes(device)
        total = of_stops.index_add(0, parents, of_edges)
        total.index_add_(0, torch.from_numpy(asked.nodes).to(device), of_longer.sum(dim=1))
        over = of_longer * (-longer.clamp(min=LEAST)).exp()
        over_stops = of_stops * (-stops.clamp(min=LEAST)).exp()
        grad = torch.empty_like(logits)
        for chunk in asked.chunks(device):
            rows = (logits[chunk.nodes].double() - whole[chunk.nodes, None]).exp_()
            factor = (-total[chunk.nodes, None]).repeat(1, rows.shape[1])
            factor[:, ending] += over_stops[chunk.nodes, None]
            here = over[chunk.entries]
            factor.view(-1).index_add_(0, chunk.taken, here.view(-1)[chunk.slots])
            some = torch.nn.functional.pad(here[chunk.slots_of_whole], (0, 1))
            some = some.index_select(1, first).mul_(chunk.allowed)
            factor.index_add_(0, chunk.whole, some)
            grad[chunk.nodes] = rows.mul_(factor).to(grad.dtype)
        grad.index_put_((parents, ids), of_edges.to(grad.dtype), accumulate=True)
        return grad, None


def edges_of(tree: CoverTree, device: torch.device) -> tuple[Tensor, Tensor]:
    """The parent of each node but the first, and the token behind it [nodes - 1]."""
    parents, tokens = torch.from_numpy(tree.parents[1:]), torch.from_numpy(tree.tokens[1:])
    return parents.to(device), tokens.to(device)
