"""The law of the next byte at one place of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tokxfer.shapes import Float

STOP = 256
OUTCOMES = 257  # the bytes, and the end of the text
IMPOSSIBLE = -1e30


def normalise(laws: Sequence[ByteLaw]) -> None:
    """Find the log-probabilities of many laws at once, in a fraction of the time one by one takes.

    Each law's `nats` are those that it would find by itself when asked for them.
    """
    if not laws:
        return
    together = np.stack([law.joint for law in laws])
    guessed = np.stack([law.guessed for law in laws])
    some = ~np.isneginf(guessed).all(axis=1)
    together[some] = np.logaddexp(together[some], guessed[some])
    whole = np.logaddexp.reduce(together, axis=1, keepdims=True)
    nothing_comes = np.isneginf(whole)
    found = np.maximum(together - np.where(nothing_comes, 0.0, whole), IMPOSSIBLE)
    found[nothing_comes[:, 0]] = IMPOSSIBLE
    for law, nats in zip(laws, found, strict=True):
        law.__dict__["nats"] = nats  # where a cached property keeps what it found


def nothing() -> Float[np.ndarray, " outcomes"]:
    """Log-masses of nothing at all [outcomes]."""
    return np.full(OUTCOMES, -np.inf)


@dataclass(frozen=True, eq=False)
class ByteLaw:
    """What may come next behind a text, in nats; the last outcome is its end.

    Attributes:
        joint: [outcomes] log-mass of the text with each outcome, as far as it is known: a lower
            bound where nodes were not asked.
        guessed: [outcomes] log-mass of what they could add, spread evenly over what may come.
        mass: Log-mass of the text itself: of the sequences that cover it.
        missing: Log of what the mass of the text may be larger by.
        stops: [stops] log-mass of the text with each token that ends it, as far as it is known.
    """

    joint: Float[np.ndarray, " outcomes"]
    guessed: Float[np.ndarray, " outcomes"] = field(default_factory=nothing)
    mass: float = 0.0
    missing: float = -np.inf
    stops: Float[np.ndarray, " stops"] = field(default_factory=lambda: np.zeros(0))

    @property
    def possible(self) -> bool:
        """Whether anything may come at all."""
        return self._whole > -np.inf

    @cached_property
    def nats(self) -> Float[np.ndarray, " outcomes"]:
        """Log-probabilities, normalised over the outcomes; −1e30 for what cannot come."""
        return self._normalised(self._together)

    @cached_property
    def stop_nats(self) -> Float[np.ndarray, " stops"]:
        """[stops] log-probabilities of each token that ends the text: together, of its end."""
        guessed = self.guessed[STOP] - np.log(max(1, len(self.stops)))
        return self._normalised(np.logaddexp(self.stops, guessed))

    @cached_property
    def bounds(self) -> tuple[Float[np.ndarray, " outcomes"], Float[np.ndarray, " outcomes"]]:
        """Between which the log-probabilities lie, whatever the nodes not asked would answer."""
        lost = np.logaddexp.reduce(self.guessed)
        most = np.logaddexp(self.joint, lost)
        most[np.isneginf(self._together)] = -np.inf
        return self._normalised(self.joint), self._normalised(most)

    @cached_property
    def _together(self) -> Float[np.ndarray, " outcomes"]:
        found: Float[np.ndarray, " outcomes"] = np.logaddexp(self.joint, self.guessed)
        return found

    @cached_property
    def _whole(self) -> float:
        return float(np.logaddexp.reduce(self._together))

    def _normalised(self, masses: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
        if not self.possible:
            return np.full(len(masses), IMPOSSIBLE)
        found: Float[np.ndarray, " some"] = np.maximum(masses - self._whole, IMPOSSIBLE)
        return found
