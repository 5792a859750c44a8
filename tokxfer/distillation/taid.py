"""TAID: a target between student and teacher that moves to the teacher as the student follows.

    p_t = softmax((1−t)·s + t·z)        s the student's logits, as constants, z the teacher's
    L   = KL(p_t ‖ softmax(s))

After every step with mean loss L_n, t rises

    δ = (L_{n−1} − L_n) / (L_{n−1} + ε)        m ← β m + (1−β) δ
    t ← min(t_end, max(t_start + (t_end − t_start)·progress, t + α·sigmoid(m)·(1−t)))

at least along a line, and faster while the loss falls. Source: Shing et al., 2501.16937, with its
constants.

Chunks have no logits, but the log-probability that each side gives them. Between these the target
is the weighted geometric mean, which is what p_t is but for its normalization; a chunk's text is
one outcome of many whose probabilities nobody knows, so there is nothing to normalize over.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

import torch
from torch import Tensor

from tokxfer.distillation.divergences import Divergence, relative_entropy
from tokxfer.shapes import Float

SMALL = 1e-15  # keeps the relative change finite when a loss is zero


class Interpolation:
    """How far the target is on its way from the student to the teacher.

    Args:
        start: Where t begins, at least 0 and below `end`.
        end: Where it stops, at most 1: the teacher itself.
        rate: α, the largest part of what is missing to 1 that a step adds beyond the line.
        momentum: β, how much of the mean relative change of the loss a step keeps.

    Attributes:
        t: The teacher's share.

    Raises:
        ValueError: The shares are out of their range.
    """

    def __init__(
        self, start: float = 0.4, end: float = 1.0, rate: float = 5e-4, momentum: float = 0.99
    ) -> None:
        if not 0.0 <= start <= end <= 1.0:
            raise ValueError(f"a way from {start} to {end} is not within 0 and 1")
        if not (0.0 <= rate <= 1.0 and 0.0 <= momentum < 1.0):
            raise ValueError(f"rate {rate} and momentum {momentum} do not lie from 0 to 1")
        self.start, self.end, self.rate, self.momentum = start, end, rate, momentum
        self.t = start
        self._mean = 0.0
        self._before: float | None = None

    def step(self, loss: float, progress: float) -> float:
        """Hear of a step, after it.

        Args:
            loss: Its mean loss.
            progress: Steps done over steps to do, from 0 to 1.

        Returns:
            The new t: never smaller than before.
        """
        if self._before is not None:
            change = (self._before - loss) / (self._before + SMALL)
            self._mean = self.momentum * self._mean + (1 - self.momentum) * change
            grown = self.t + self.rate * _sigmoid(self._mean) * (1 - self.t)
            line = self.start + (self.end - self.start) * progress
            self.t = max(self.t, min(self.end, max(line, grown)))
        self._before = loss
        return self.t

    def state(self) -> dict[str, float | None]:
        """What a resumed run needs to know, as JSON."""
        return {"t": self.t, "mean": self._mean, "before": self._before}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go on from what `state` gave.

        Raises:
            KeyError: It is the state of something else.
        """
        t, mean, before = state["t"], state["mean"], state["before"]
        if t is None or mean is None:
            raise KeyError("t and mean are numbers")
        self.t, self._mean, self._before = t, mean, before


def taid(t: float) -> Divergence:
    """The loss as a divergence of log-probabilities, for `same_vocabulary`.

    Args:
        t: The teacher's share.
    """

    def found(student: Tensor, teacher: Tensor) -> Tensor:
        # log-probabilities are logits but for a constant, which the normalization takes away
        target = torch.log_softmax((1 - t) * student.detach() + t * teacher, dim=-1)
        return relative_entropy(target, student)

    return found


def between(
    teacher: Float[Tensor, "batch chunks"], student: Float[Tensor, "batch chunks"], t: float
) -> Float[Tensor, "batch chunks"]:
    """Log-probabilities of chunks on the way to the teacher, without a gradient.

    Args:
        teacher: The teacher's, with whatever corrects them.
        student: The student's, corrected alike.
        t: The teacher's share.
    """
    return (1 - t) * student.detach() + t * teacher.detach()


def _sigmoid(value: float) -> float:
    if value < 0:
        return exp(value) / (1 + exp(value))
    return 1 / (1 + exp(-value))
