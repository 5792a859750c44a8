"""Masses of a text's beginnings: of canonical covers, and of all within horizons.

What strays from the tokenizer's own tokens in the last bytes of a beginning is the share of its
mass under the law `all` that the canonical law does not count, 1 − exp(canonical − all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.filling import own_tokens

EPSILON = 1e-6  # of a beginning's mass, what need not be gone on with
AHEAD = 32  # characters behind the bytes, so that the last tokens are the text's own
Figures = dict[str, Any]


@dataclass(frozen=True)
class Beginnings:
    """What one law says of every beginning of a text.

    Attributes:
        masses: [bytes] log-mass of the text up to and with each byte.
        nats: [bytes] log-probability of each byte, given those before it.
        missing: The largest part by which a mass may be larger.
    """

    masses: np.ndarray
    nats: np.ndarray
    missing: float

    @classmethod
    def of(cls, lm: ByteLM, data: bytes, epsilon: float = 0.0) -> Beginnings:
        """Go through a text once."""
        state = lm.start(epsilon=epsilon)
        laws = [state.law, *state.push(data)]
        return cls(
            np.array([law.mass for law in laws[1:]]),
            np.array([float(law.nats[byte]) for law, byte in zip(laws, data, strict=False)]),
            max(float(np.exp(law.missing - law.mass)) for law in laws[1:]),
        )


def measured(
    lm: ByteLM, text: str, size: int, horizons: Sequence[int], epsilon: float = EPSILON
) -> Figures:
    """The first bytes of one text: shares that stray, and what their counting does to scores.

    Args:
        lm: The model under the canonical law, in double precision: single's errors are as large
            as small shares.
        text: The text.
        size: How many of its bytes.
        horizons: Those of the law of all sequences.
        epsilon: What is left out under that law.

    Returns:
        By name, for JSON. `inside`: whether each beginning ends within a token of the text.
        `shares`: of each beginning's mass, by horizon. `left`: nats by which the canonical mass of
        the text lies below its log-probability, by horizon; `leaked`, below the canonical one.
        `gained`: the difference of the two. `nats`: of each byte at the widest horizon.
    """
    whole = lm.spell(text[: size + AHEAD])
    data = whole[:size]
    ends = np.cumsum([len(lm.canonical.tokens[token]) for token in own_tokens(lm, whole)])
    canonical = Beginnings.of(lm, data)
    row: Figures = {
        "hex": data.hex(),
        "inside": (~np.isin(np.arange(1, len(data) + 1), ends)).tolist(),
        "leaked": float(canonical.nats.sum() - canonical.masses[-1]),
        "shares": {}, "left": {}, "gained": {}, "missing": 0.0,
    }  # fmt: skip
    for horizon in horizons:
        free = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law="all", horizon=horizon)
        found, name = Beginnings.of(free, data, epsilon), str(horizon)
        row["shares"][name] = (-np.expm1(canonical.masses - found.masses)).tolist()
        row["left"][name] = float(found.nats.sum() - canonical.masses[-1])
        row["gained"][name] = float(found.nats.sum() - canonical.nats.sum())
        row["missing"] = max(row["missing"], found.missing)
        if horizon == max(horizons):
            row["nats"] = found.nats.tolist()
    return row
