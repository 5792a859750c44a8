"""The law of generated tokens: how near it comes to that of bytes, and where it is the same."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.tokens import Shares, TokenShares

MODELS = Path(__file__).resolve().parents[2] / "models"


class Renormalised(TokenShares):
    """Shares of the tokens that may follow and of the stops, which sum to one at every token."""

    def of(self, logits: torch.Tensor, state: Hashable) -> tuple[Shares, np.ndarray]:
        shares, stops = super().of(logits, state)
        whole = shares.sum(dtype=np.float64) + stops.sum()
        return shares.astype(np.float64) / whole, stops / whole


@pytest.mark.parametrize(
    ("name", "mean", "most"), [("english-bytebpe", 0.0026, 0.052), ("code-bytebpe", 0.0068, 0.16)]
)
def test_tokens_have_nearly_the_law_of_bytes_but_not_quite(
    name: str, mean: float, most: float
) -> None:
    """Bounds are twice what docs/bytes.md says of more documents."""
    lm = ByteLM.from_pretrained(MODELS / name)
    own, renormalised = lm.tokens, Renormalised(lm.tokens.rule, lm.stops)
    lines = (MODELS / "held_out.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    found = []
    for line in lines:
        data = lm.spell(json.loads(line)["text"])[:100]
        laws = []
        for lm.tokens in (own, renormalised):
            laws.append(lm.score(data, laws=True).laws)
        first, second = (law.exp() for law in laws if law is not None)
        found.append((first - second).abs().sum(dim=1) / 2)
    apart = torch.cat(found)
    assert 1e-4 < float(apart.mean()) < mean
    assert float(apart.max()) < most
