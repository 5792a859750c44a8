"""A head over all logits at once, in plain torch: the oracle of the head in tiles."""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.distillation.linearhead import HeadLogs


class Sets:
    """Sets of tokens [sets, vocab] as they are."""

    def __init__(self, members: Tensor) -> None:
        self.all = members

    def members(self, which: Tensor, start: int, stop: int) -> Tensor:
        return self.all[which, start:stop]


def plain(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    sets: Sets | None = None,
    set_of: Tensor | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
) -> HeadLogs:
    """What `head_log_probs` says, one set a position."""
    logits = torch.nn.functional.linear(hidden, weight, bias) * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logs = logits.log_softmax(dim=1)
    found = logs.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1).where(labels >= 0, 0.0)
    if sets is None or set_of is None:
        return HeadLogs(found, None)
    inside = sets.all[set_of.clamp(min=0)]
    masses = logs.masked_fill(~inside, -torch.inf).logsumexp(dim=1)
    return HeadLogs(found, masses.where(set_of >= 0, 0.0))
