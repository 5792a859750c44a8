"""`Part`: what an objective says of a micro-batch, so that the step's mean is exact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """A sum of losses and how many there are of them.

    Objectives return sums and never means: the mean over a step divides the sum of all its
    micro-batches by the count of all of them, so that however a step is cut, it is the same step.

    Args:
        total: Scalar, in nats unless its function says otherwise; carries the gradient.
        count: Tokens, chunks or texts that were summed; a scalar tensor where only the device
            knows.
    """

    total: Tensor
    count: int | Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> Part:
        """The sum of no losses, of a tensor's device and at least single precision."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        return cls(torch.zeros((), device=like.device, dtype=dtype), 0)

    @property
    def mean(self) -> Tensor:
        """The mean loss, 0 where nothing was counted."""
        if isinstance(self.count, Tensor):
            return self.total / self.count.clamp(min=1)
        return self.total / max(self.count, 1)

    def __add__(self, other: Part) -> Part:
        return Part(self.total + other.total, self.count + other.count)

    def __radd__(self, other: int) -> Part:
        """Let `sum` begin with its 0."""
        if other != 0:
            return NotImplemented
        return self

    def detach(self) -> Part:
        """The same figures without a gradient."""
        return Part(self.total.detach(), self.count)
