"""How several losses are weighed: by hand, by their gradients, or by how fast each is learned.

Each is a state machine. `weights` are those of the step at hand and do not change within it, so
that micro-batches add up to the same step however it is cut; `update` is told, after the step, the
norms and losses of the whole step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

Figures = Mapping[str, float]


class Balance(ABC):
    """Weights of losses by the names of these.

    Args:
        terms: The names.

    Attributes:
        measures: Whether `update` needs gradient norms, which cost a pass to the last layer.
    """

    measures: ClassVar[bool] = True

    def __init__(self, terms: Sequence[str]) -> None:
        self.terms = tuple(terms)
        self._weights = torch.ones(len(self.terms), dtype=torch.float64)

    def weights(self) -> dict[str, float]:
        """The weights of the step at hand."""
        return dict(zip(self.terms, self._weights.tolist(), strict=True))

    def update(self, norms: Figures, losses: Figures) -> None:
        """Learn from a step that is over; one with a figure that is no number teaches nothing.

        Args:
            norms: Norm of each unweighted loss's gradient at the last layer; 0 for a loss that
                the step had nothing of.
            losses: Mean loss of each term.
        """
        one, other = self._row(norms), self._row(losses)
        if bool((one.isfinite() & other.isfinite()).all()):
            self._learn(one, other)

    @abstractmethod
    def _learn(self, norms: Tensor, losses: Tensor) -> None:
        """Take the norms and losses [terms] of a step."""

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs to go on alike."""
        return {"weights": self._weights.clone()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._weights = state["weights"].to("cpu", torch.float64, copy=True)

    def _row(self, figures: Figures) -> Tensor:
        return torch.tensor([figures[term] for term in self.terms], dtype=torch.float64)


class Fixed(Balance):
    """Weights that stay as they are.

    Args:
        weights: By term.
    """

    measures = False

    def __init__(self, weights: Figures) -> None:
        super().__init__(tuple(weights))
        self._weights = self._row(weights)

    def _learn(self, norms: Tensor, losses: Tensor) -> None:
        """Nothing to learn."""


class GradMag(Balance):
    """Weights of one over the gradient's norm in the step before, summing to how many there are.

    All are 1 in the first step. A term of which a step had nothing keeps its weight.

    Source: Minixhofer et al., "Cross-Tokenizer Distillation via Approximate Likelihood Matching"
    (2503.20083), section 3.
    """

    def _learn(self, norms: Tensor, losses: Tensor) -> None:  # noqa: ARG002
        seen = norms > 0
        if not bool(seen.any()):
            return
        share = self._weights[seen].sum()
        inverse = 1 / norms[seen]
        self._weights[seen] = inverse / inverse.sum() * share


class GradNorm(Balance):
    """Weights trained so that what is learned slowly gets the larger gradients.

    With G_i = w_i·norm_i, their mean G, and r_i a loss's part of its first value, relative to the
    mean of these parts, w descends on sum |G_i − G·r_i^alpha|, in which G·r_i^alpha is constant.
    Then weights are scaled to sum to how many there are. Steps are Adam's, so that the size of
    gradients does not matter.

    Args:
        terms: The names.
        alpha: How strongly slow losses are favoured; 0 makes all weighted norms equal.
        rate: Step size of the weights.

    Source: Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep
    Multitask Networks" (ICML 2018), equation 2 and algorithm 1.
    """

    smallest: ClassVar[float] = 1e-4  # weights stay positive
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

    def __init__(self, terms: Sequence[str], alpha: float = 1.5, rate: float = 0.025) -> None:
        super().__init__(terms)
        self.alpha, self.rate = alpha, rate
        self._first = torch.zeros_like(self._weights)  # losses; 0 until a term is met
        self._moments = torch.zeros(2, len(self.terms), dtype=torch.float64)
        self._steps = torch.zeros((), dtype=torch.int64)

    def _learn(self, norms: Tensor, losses: Tensor) -> None:
        seen = norms > 0
        if not bool(seen.any()):
            return
        losses = losses.clamp(min=torch.finfo(torch.float32).tiny)
        self._first = self._first.where((self._first > 0) | ~seen, losses)
        parts = losses[seen] / self._first[seen]
        wanted = (self._weights * norms)[seen].mean() * (parts / parts.mean()) ** self.alpha
        slope = torch.zeros_like(norms)
        slope[seen] = torch.sign((self._weights * norms)[seen] - wanted) * norms[seen]
        moved = (self._weights - self.rate * self._direction(slope)).clamp(min=self.smallest)
        self._weights = moved / moved.sum() * len(self.terms)

    def _direction(self, slope: Tensor) -> Tensor:
        """Adam's direction [terms]."""
        self._steps += 1
        shares, powers = self.betas, (1, 2)
        for row, (share, power) in enumerate(zip(shares, powers, strict=True)):
            self._moments[row].mul_(share).add_((1 - share) * slope**power)
        mean, square = (
            moment / (1 - share ** int(self._steps))
            for moment, share in zip(self._moments, shares, strict=True)
        )
        found: Tensor = mean / (square.sqrt() + math.ulp(1.0))
        return found

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs to go on alike."""
        return {
            **super().state(),
            "first": self._first.clone(),
            "moments": self._moments.clone(),
            "steps": self._steps.clone(),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        super().restore(state)
        self._first = state["first"].to("cpu", torch.float64, copy=True)
        self._moments = state["moments"].to("cpu", torch.float64, copy=True)
        self._steps = state["steps"].to("cpu", copy=True)
