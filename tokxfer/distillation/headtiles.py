"""The logits of a linear head tile by tile, and the gradients that tiles add up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tokxfer.distillation.headproducts import product, tile_size


@dataclass(frozen=True)
class How:
    """How logits come of products.

    Args:
        narrow: The type that is multiplied.
        wide: The type of logits and of sums.
        scale: Their factor.
        softcap: Logits become softcap·tanh(logits/softcap), or None.
        rows: Most positions of a tile, or None for what was measured to be fast.
    """

    narrow: torch.dtype
    wide: torch.dtype
    scale: float = 1.0
    softcap: float | None = None
    rows: int | None = None


class Tiles:
    """The logits of some positions over a vocabulary, some rows and some columns at a time.

    Args:
        hidden: [positions, dim] what the head reads.
        weight: [vocab, dim].
        bias: [vocab] or None.
        how: How logits come of products.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, how: How) -> None:
        self.hidden, self.weight, self.bias, self.how = hidden, weight, bias, how
        self.narrow, self.wide = how.narrow, how.wide
        self._rows, self._columns = tile_size(len(hidden), hidden.device, how.rows)

    def stretches(self) -> Iterator[tuple[slice, Tensor]]:
        """The stretches of the vocabulary, and the head's rows of each."""
        for start in range(0, len(self.weight), self._columns):
            columns = slice(start, min(start + self._columns, len(self.weight)))
            yield columns, self.weight[columns].to(self.narrow).contiguous()

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """The blocks of positions, and what the head reads at each."""
        for start in range(0, len(self.hidden), self._rows):
            block = slice(start, start + self._rows)
            yield block, self.hidden[block].to(self.narrow).contiguous()

    def logits(self, read: Tensor, atoms: Tensor, columns: slice) -> Tensor:
        """[rows, columns] the logits of a tile."""
        found = product(read, atoms, self.wide)
        if self.bias is not None:
            found += self.bias[columns]
        if self.how.scale != 1.0:
            found *= self.how.scale
        if self.how.softcap is not None:
            found.div_(self.how.softcap).tanh_().mul_(self.how.softcap)
        return found

    def slopes(self, logits: Tensor) -> Tensor | None:
        """How fast a tile's logits grow with its products; None where they are the same."""
        if self.how.softcap is not None:
            capped = (logits / self.how.softcap).square_()
            return capped.neg_().add_(1.0).mul_(self.how.scale)
        return None if self.how.scale == 1.0 else logits.new_tensor(self.how.scale)


class Gradients:
    """Sums over tiles of the gradients that are wanted.

    Args:
        tiles: The head.
        wants: Whether those of hidden states, weights and bias are wanted.

    Attributes:
        hidden: [positions, dim] or None.
        weight: [vocab, dim] or None.
        bias: [vocab] or None.
    """

    def __init__(self, tiles: Tiles, wants: tuple[bool, bool, bool]) -> None:
        hidden, weight, bias = tiles.hidden, tiles.weight, tiles.bias
        self.wide, self.narrow = tiles.wide, tiles.narrow
        self.hidden = torch.zeros_like(hidden, dtype=self.wide) if wants[0] else None
        self.weight = torch.zeros_like(weight) if wants[1] else None
        self.bias = torch.zeros_like(bias) if bias is not None and wants[2] else None
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def add(self, along: Tensor, read: Tensor, atoms: Tensor, block: slice) -> None:
        """Take the gradient of a tile's products [rows, columns]."""
        narrow = along.to(self.narrow)
        if self.hidden is not None:
            self.hidden[block] += product(narrow, atoms.T, self.wide)
        if self.weight is not None:  # this way around it is twice as fast as the other
            found = product(read.T, narrow.T, self.wide).T
            self._weight = found if self._weight is None else self._weight.add_(found)
        if self.bias is not None:
            summed = along.sum(0)
            self._bias = summed if self._bias is None else self._bias.add_(summed)

    def close(self, columns: slice) -> None:
        """Write down what a stretch of the vocabulary gets, when all its tiles were added."""
        if self.weight is not None and self._weight is not None:
            self.weight[columns] = self._weight
        if self.bias is not None and self._bias is not None:
            self.bias[columns] = self._bias
        self._weight = self._bias = None
