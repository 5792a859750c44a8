"""What a model says of given bytes, and of the byte behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel.law import IMPOSSIBLE, STOP, ByteLaw
from tokxfer.shapes import Float


@dataclass(frozen=True, eq=False)
class NextByte:
    """The law of the next byte, normalised over the 256 bytes and the end of the text.

    Attributes:
        found: What the stream of the text says.
        law: The law's name: canonical or all.
        stop_ids: The tokens that end a text.
    """

    found: ByteLaw = field(repr=False)
    law: str
    stop_ids: list[int] = field(repr=False)

    @cached_property
    def nats(self) -> Float[torch.Tensor, " 256"]:
        """[256] log-probabilities by byte value; −1e30 for what cannot come."""
        return torch.from_numpy(self.found.nats)[:STOP]

    @cached_property
    def stop(self) -> float:
        """That of the end of the text, all stop tokens together."""
        return float(self.found.nats[STOP])

    @property
    def stops(self) -> dict[int, float]:
        """Each stop token's log-probability by id."""
        return dict(zip(self.stop_ids, self.found.stop_nats.tolist(), strict=True))

    @property
    def mass(self) -> float:
        """Log-mass of the text so far: of the token sequences that cover it."""
        return self.found.mass

    @property
    def missing(self) -> float:
        """Log of what that mass may be larger by, −inf where all nodes were asked."""
        return self.found.missing

    @cached_property
    def lower(self) -> Float[torch.Tensor, " 257"]:
        """[257] lower bounds of the log-probabilities, the stop's last."""
        return torch.from_numpy(self.found.bounds[0])

    @cached_property
    def upper(self) -> Float[torch.Tensor, " 257"]:
        """[257] upper bounds of them."""
        return torch.from_numpy(self.found.bounds[1])

    @property
    def exact(self) -> bool:
        """Whether nothing was left out, so that the bounds meet."""
        return bool(np.isneginf(self.found.guessed).all())

    def top(self, count: int = 5) -> list[tuple[bytes, float]]:
        """The likeliest bytes with their probabilities."""
        best = self.nats.topk(count)
        return [
            (bytes([value]), float(nats.exp()))
            for value, nats in zip(best.indices.tolist(), best.values, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Give the law as `--json` prints it: −1e30 stands for minus infinity; bounds if any."""
        return {
            "law": self.law,
            "nats": self.nats.tolist(),
            "stop": self.stop,
            "mass": max(self.mass, IMPOSSIBLE),
            "missing": max(self.missing, IMPOSSIBLE),
            "lower": None if self.exact else self.lower.tolist(),
            "upper": None if self.exact else self.upper.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Score:
    """What a model says of given bytes.

    Attributes:
        data: The bytes, a space that encoding puts before a text included.
        nats: [bytes] log-probability of each, given those before it.
        stop: Log-probability that the text ends behind them.
        law: The law's name: canonical or all.
        mass: Log-mass of all of them: of the token sequences that cover them.
        missing: Log of what that mass may be larger by.
        laws: [bytes + 1, 257] log-probabilities of every next byte and of the end, if asked for.
        asked: Nodes at which the model was asked.
    """

    data: bytes
    nats: Float[torch.Tensor, " bytes"]
    stop: float
    law: str
    mass: float
    missing: float = -math.inf
    laws: Float[torch.Tensor, "places 257"] | None = field(default=None, repr=False)
    asked: int = 0

    @property
    def total(self) -> float:
        """Log-probability of the bytes."""
        return float(self.nats.detach().sum())

    def to_dict(self) -> dict[str, Any]:
        """Give the score as `--json` prints it; −1e30 stands for minus infinity."""
        return {
            "hex": self.data.hex(),
            "nats": self.nats.tolist(),
            "total": self.total,
            "stop": self.stop,
            "mass": max(self.mass, IMPOSSIBLE),
            "missing": max(self.missing, IMPOSSIBLE),
        }
