"""A linear head asked for two numbers a position, without the logits of all positions at once.

Objectives on chunks need the log-probability of the token that comes and the log-mass of a set of
tokens. Logits are computed in tiles of some positions and some of the vocabulary, used and
forgotten; backward computes them once more. Of the forward pass one number a position is kept, the
log of the sum over the vocabulary, so that each tile's gradient is known from the tile alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokxfer.distillation.headproducts import exactly, operand_types
from tokxfer.distillation.headtiles import Gradients, How, Tiles
from tokxfer.shapes import Bool, Float, Int

FLOOR = -80.0  # log-masses end here: in single precision the shares behind them vanish


@runtime_checkable
class TokenSets(Protocol):
    """Sets of tokens, asked for a stretch of the vocabulary at a time."""

    def members(
        self, which: Int[Tensor, " unique"], start: int, stop: int
    ) -> Bool[Tensor, "unique columns"]:
        """Whether each of the tokens from `start` to `stop` is in each of some sets.

        Fewer columns are those of the tokens there are: what the head has beyond is in no set.
        """
        ...


class HeadLogs(NamedTuple):
    """What a head says of each position, in nats.

    Attributes:
        labels: [positions] log-probability of the label; 0 where there is none.
        masses: [positions] or [positions, groups] log-mass of the set, at least -80; 0 where there
            is none. None if no sets were given.
    """

    labels: Tensor
    masses: Tensor | None


def head_log_probs(
    hidden: Float[Tensor, "positions dim"],
    weight: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    labels: Int[Tensor, " positions"],
    *,
    sets: TokenSets | None = None,
    set_of: Int[Tensor, "positions ..."] | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    rows: int | None = None,
) -> HeadLogs:
    """Log-probability of each label and log-mass of a set of tokens, under softmax(hidden·weightᵀ).

    Memory beyond the gradients does not grow with the positions. Gradients reach `hidden`,
    `weight` and `bias`, each only where it is wanted; nothing is kept when none is.

    Args:
        hidden: What the head reads, of any floating type; sums are in at least single precision.
        weight: The head's rows.
        bias: Added to the logits, or None.
        labels: Token at each position, -1 for none.
        sets: The sets of tokens, or None.
        set_of: Set of each position, -1 for none; or several, [positions, groups].
        scale: Factor of the logits.
        softcap: Logits become softcap·tanh(logits/softcap), or None.
        rows: Most positions of a tile; by default what was measured to be fast.

    Returns:
        Log-probabilities and log-masses, in nats. Masses have no gradient at their floor of -80.
    """
    how, labels = How(*operand_types(hidden, weight), scale, softcap, rows), labels.long()
    if sets is None or set_of is None:
        found, _ = _Head.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, labels, None, None, None, how
        )
        return HeadLogs(found, None)
    which, place = set_of.clamp(min=0).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    place = place.masked_fill(set_of < 0, -1)
    place = place.unsqueeze(1) if place.ndim == 1 else place
    found, masses = _Head.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, labels, sets, which, place, how
    )
    return HeadLogs(found, masses.view(set_of.shape))


class _Masks:
    """Which tokens of a stretch of the vocabulary the set of each position has.

    Args:
        sets: The sets of tokens, or None.
        which: [unique] the sets that occur.
        place: [positions, groups] where in them the sets of each position are, -1 for none.
    """

    def __init__(self, sets: TokenSets | None, which: Tensor | None, place: Tensor | None) -> None:
        self.sets, self.which = sets, which
        self.place = None if place is None else place.clamp(min=0)
        self.groups = 0 if place is None else place.shape[1]

    def within(self, columns: slice) -> None:
        """Go on to a stretch of the vocabulary."""
        if self.sets is not None and self.which is not None:
            found = self.sets.members(self.which, columns.start, columns.stop)
            rest = columns.stop - columns.start - found.shape[1]  # rows of the head beyond all ids
            self._members = torch.nn.functional.pad(found, (0, rest)) if rest else found

    def of(self, block: slice) -> Iterator[tuple[int, Tensor]]:
        """Each group, and [rows or 1, columns] whether tokens are in the sets of a block."""
        for group in range(self.groups):
            alike = len(self._members) == 1
            assert self.place is not None
            yield group, self._members if alike else self._members[self.place[block, group]]


class _Head(torch.autograd.Function):
    """See `head_log_probs`; `place` [positions, groups] says where in `which` each set is."""

    @staticmethod
    @exactly
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        sets: TokenSets | None,
        which: Tensor | None,
        place: Tensor | None,
        how: How,
    ) -> tuple[Tensor, Tensor | None]:
        tiles, masks = Tiles(hidden, weight, bias, how), _Masks(sets, which, place)
        chosen = hidden.new_zeros(len(hidden), 1, dtype=tiles.wide)
        highest = torch.full_like(chosen, -torch.inf)
        sums = chosen.repeat(1, 1 + masks.groups)  # over the vocabulary, and over each set
        for columns, atoms in tiles.stretches():
            masks.within(columns)
            for block, read in tiles.blocks():
                shares = tiles.logits(read, atoms, columns)
                inside, label = _local(labels[block], columns)
                chosen[block] += shares.gather(1, label).where(inside, 0.0)
                before = highest[block].clone()
                now = torch.maximum(before, shares.amax(1, keepdim=True))
                highest[block] = now
                shares.sub_(now).exp_()
                sums[block] *= before.sub_(now).exp_()
                sums[block, 0] += shares.sum(1)
                for group, mask in masks.of(block):
                    sums[block, 1 + group] += (shares * mask).sum(1)
        whole = sums[:, :1].log()
        found = (chosen - highest - whole).clamp_(max=0.0).squeeze(1).masked_fill_(labels < 0, 0.0)
        masses = None
        if place is not None:
            masses = (sums[:, 1:].log() - whole).clamp_(FLOOR, 0.0).masked_fill_(place < 0, 0.0)
        ctx.sets, ctx.how = sets, how
        ctx.save_for_backward(hidden, weight, bias, labels, which, place, highest + whole, masses)
        return found, masses

    @staticmethod
    @once_differentiable
    @exactly
    def backward(ctx: Any, along: Tensor, along_masses: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, labels, which, place, whole, masses = ctx.saved_tensors
        tiles, masks = Tiles(hidden, weight, bias, ctx.how), _Masks(ctx.sets, which, place)
        gradients = Gradients(tiles, ctx.needs_input_grad[:3])
        # The gradient of a logit is its share of the vocabulary times `everywhere`, and times
        # `within` if it is in a set: sums are over what the position's figures weigh.
        along = along.masked_fill(labels < 0, 0.0).unsqueeze(1)
        everywhere, within = -along, along
        if masses is not None and along_masses is not None:
            wanted = along_masses.where((place >= 0) & (masses > FLOOR), 0.0)
            everywhere = everywhere - wanted.sum(1, keepdim=True)
            within = wanted * (-masses).exp()
        for columns, atoms in tiles.stretches():
            masks.within(columns)
            for block, read in tiles.blocks():
                shares = tiles.logits(read, atoms, columns)
                slopes = tiles.slopes(shares)
                shares.sub_(whole[block]).exp_()
                factor = everywhere[block]
                for group, mask in masks.of(block):
                    factor = factor + mask * within[block, group].unsqueeze(1)
                shares *= factor
                inside, label = _local(labels[block], columns)
                shares.scatter_add_(1, label, along[block].where(inside, 0.0))
                if slopes is not None:
                    shares *= slopes
                gradients.add(shares, read, atoms, block)
            gradients.close(columns)
        found = None if gradients.hidden is None else gradients.hidden.to(hidden.dtype)
        return found, gradients.weight, gradients.bias, None, None, None, None, None


def _local(labels: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """[rows, 1] which labels lie in a stretch of the vocabulary, and where in it."""
    inside = (labels >= columns.start) & (labels < columns.stop)
    place = (labels - columns.start).clamp(0, columns.stop - columns.start - 1)
    return inside.unsqueeze(1), place.unsqueeze(1)
