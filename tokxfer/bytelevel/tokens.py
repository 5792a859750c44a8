"""A model's answer at a node as shares of the tokens that may follow, in the order of bytes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules import Rule
from tokxfer.bytelevel.runs import Run
from tokxfer.shapes import Float, Int

KEPT = 1024  # states of which the bytes that may come next are kept
SMALL = 1e-35  # shares of which single precision has no equal

Shares = npt.NDArray[np.floating]


class TokenShares:
    """Turns logits into probabilities of the tokens that a rule allows.

    Args:
        rule: Which tokens may follow.
        stops: Ids that end a text; they are not of text.

    Attributes:
        order: The vocabulary by bytes.
        whole: The run of all of it.
        places: [ids] each token's place in the order; −1 for ids that are not of text.
    """

    def __init__(self, rule: Rule, stops: Sequence[int]) -> None:
        self.rule, self.stops = rule, list(dict.fromkeys(stops))
        ends = set(stops)
        texts = (b"" if token in ends else text for token, text in enumerate(rule.tokens))
        self.order = ByteOrder(tuple(texts))
        self._stops = np.array(self.stops, dtype=np.int64)
        self.whole = Run(self.order, 0, len(self.order.ids))
        self.places: Int[np.ndarray, " ids"] = np.full(len(rule.tokens), -1)
        self.places[self.order.ids] = np.arange(len(self.order.ids))
        self._first_bytes = lru_cache(KEPT)(partial(self._possible, run=self.whole))

    def of(
        self, logits: Float[torch.Tensor, " ids"], state: Hashable
    ) -> tuple[Shares, Float[np.ndarray, " stops"]]:
        """The probabilities of the tokens that may follow [places], and of each stop.

        In the precision of the logits, but in double where single would lose what is unlikely.
        """
        row = logits.to(torch.promote_types(logits.dtype, torch.float32))
        shares = row.softmax(dim=0).numpy()
        if shares.min() < SMALL:
            shares = row.double().softmax(dim=0).numpy()
        stops = shares[self._stops].astype(np.float64) * self.rule.ends(state)
        shares *= self.rule.allowed(state)
        return shares.take(self.order.ids), stops

    def going_on(self, shares: Shares, run: Run) -> Float[np.ndarray, " branches"]:
        """The share of a run's tokens with each next byte, of those that have one."""
        if run.longer == run.last:
            return np.zeros(0)
        longer = shares[run.longer : run.last].astype(np.float64)  # reduceat casts far slower
        found: Float[np.ndarray, " branches"] = np.add.reduceat(longer, run.starts - run.longer)
        return found

    def possible(self, state: Hashable, run: Run) -> npt.NDArray[np.bool_]:
        """Whether a run has tokens that may follow, by next byte [branches]."""
        return self._first_bytes(state) if run is self.whole else self._possible(state, run)

    def _possible(self, state: Hashable, run: Run) -> npt.NDArray[np.bool_]:
        if run.longer == run.last:
            return np.zeros(0, dtype=bool)
        allowed = self.rule.allowed(state)[self.order.ids[run.longer : run.last]]
        found: npt.NDArray[np.bool_] = np.logical_or.reduceat(allowed, run.starts - run.longer)
        return found
