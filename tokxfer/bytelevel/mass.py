"""From a model's answers at all nodes of a tree to masses of bytes, with gradients.

The mass of a byte string is the sum, over the token sequences that the rule allows and whose last
token reaches or passes its end, of their probabilities (2410.09303).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.bytelevel.nextbytes import Asked, shares_of
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class ByteMasses:
    """Masses of beginnings of a text, one byte longer or stopped, in nats.

    Attributes:
        beginnings: [places] of the text's beginnings.
        longer: [places, 256] of each beginning with one more byte.
        stopped: [places] of each beginning as a whole text.
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
    """The masses of a text's beginnings, at the places of a tree.

    Args:
        tree: The text's tree.
        tokens: The vocabulary.
        logits: The model's answers at the nodes.
    """
    device, asked = logits.device, Asked(tree, tokens)
    shares = shares_of(logits, asked)
    comes_behind = torch.from_numpy(tree.ancestors()[:, 1:]).to(device, torch.float64)
    never = shares.edges.isneginf()
    reached = comes_behind @ shares.edges.masked_fill(never, 0.0)
    reached = reached.masked_fill(comes_behind @ never.double() > 0, -torch.inf)
    longer = shares.longer + reached[torch.from_numpy(asked.nodes).to(device)][:, None]
    places = torch.from_numpy(asked.places).to(device)
    passing = torch.from_numpy(tree.places[asked.places] > tree.offsets[asked.nodes]).to(device)
    numbers, slots = ending(tree)
    ends = [tokens.rule.ends(tree.nodes[number].state) for number in numbers.tolist()]
    here, slot = torch.from_numpy(numbers).to(device), torch.from_numpy(slots).to(device)
    stopped = (reached[here] + shares.stops[here]).masked_fill(
        ~torch.tensor(ends, dtype=torch.bool, device=device), -torch.inf
    )
    covering = torch.cat([longer[passing].logsumexp(dim=1), reached[here]])
    count = len(tree.places)
    return ByteMasses(
        beginnings=log_sums(covering, torch.cat([places[passing], slot]), count),
        longer=log_sums(longer, places, count),
        stopped=log_sums(stopped, slot, count),
    )


def ending(tree: CoverTree) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, " some"]]:
    """The nodes that end at one of the tree's places, and which of the places."""
    slots = np.full(len(tree.text) + 1, -1)
    slots[tree.places] = np.arange(len(tree.places))
    found = slots[tree.offsets]
    return np.flatnonzero(found >= 0), found[found >= 0]


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
