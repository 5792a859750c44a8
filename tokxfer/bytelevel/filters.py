"""Which next bytes a sampler draws from, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.errors import UsageError
from tokxfer.shapes import Float


@dataclass(frozen=True)
class Filter:
    """Temperature and cuts of a law of bytes.

    The temperature comes first. Each cut is of the whole law that it makes, and what all of them
    keep is drawn from.

    Args:
        temperature: Log-probabilities are divided by it; 0 takes the likeliest outcome.
        top_k: Keep so many outcomes at most.
        top_p: Keep the likeliest outcomes that make up this much, the one that reaches it included.
        min_p: Keep outcomes with at least this part of the likeliest one's probability.

    Raises:
        UsageError: A value out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"The temperature must be a number from 0 on, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k must be 1 or more, not {self.top_k}.")
        for name, value in (("top-p", self.top_p), ("min-p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise UsageError(f"{name} must lie above 0 and not above 1, but is {value}.")

    @property
    def idle(self) -> bool:
        """Whether the law stays as it is."""
        return self == Filter()

    def draw(self, nats: Float[np.ndarray, " outcomes"], source: np.random.Generator) -> int:
        """Draw one outcome from log-probabilities."""
        if self.temperature == 0:
            return int(nats.argmax())
        return int(source.choice(len(nats), p=self.probabilities(nats)))

    def probabilities(self, nats: Float[np.ndarray, " outcomes"]) -> Float[np.ndarray, " outcomes"]:
        """What outcomes are drawn with; the temperature is not 0."""
        shares = np.exp((nats - nats.max()) / self.temperature) * (nats > IMPOSSIBLE / 2)
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        kept = np.ones(len(shares), dtype=bool)
        if self.top_k is not None:
            kept[order[self.top_k :]] = False
        if self.top_p is not None:
            before = np.cumsum(shares[order]) - shares[order]
            kept[order[before >= self.top_p]] = False
        if self.min_p is not None:
            kept &= shares >= self.min_p * shares.max()
        shares = np.where(kept, shares, 0.0)
        found: Float[np.ndarray, " outcomes"] = shares / shares.sum()
        return found


def check_seed(seed: int) -> None:
    """Refuse seeds below 0."""
    if seed < 0:
        raise UsageError(f"The seed must be 0 or more, not {seed}.")
