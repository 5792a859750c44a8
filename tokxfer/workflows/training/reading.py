"""Where a side's head is read, and what it says there, put together by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tokxfer.distillation.chunksums import chunk_sums
from tokxfer.distillation.linearhead import TokenSets, head_log_probs
from tokxfer.shapes import Float
from tokxfer.workflows.training.bodies import Body

Side = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Said:
    """What a side says of a batch's chunks.

    Attributes:
        chunks: [batch, chunks] log-probability of each chunk's tokens; 0 behind a row's last.
        masses: [batch, chunks] log-mass of the boundary set behind each; 0 without sets.
    """

    chunks: Float[torch.Tensor, "batch chunks"]
    masses: Float[torch.Tensor, "batch chunks"]


def targets_of(side: Side) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens that are predicted, and the places that predict them: flat indices [targets]."""
    predicted = side["trained"].clone()
    predicted[:, 0] = False
    to = predicted.flatten().nonzero()[:, 0]
    return to, to - 1


def read_targets(
    body: Body, side: Side, hidden: torch.Tensor | None = None
) -> Float[torch.Tensor, " targets"]:
    """Log-probability of every trained token, in order of rows and places."""
    hidden = body.hidden(side["ids"], side["document"]) if hidden is None else hidden
    to, places = targets_of(side)
    return head_log_probs(
        hidden.flatten(0, 1)[places],
        body.head.weight,
        body.head.bias,
        side["ids"].flatten()[to],
        scale=body.scale,
        softcap=body.softcap,
    ).labels


def read_chunks(
    body: Body,
    side: Side,
    sets: TokenSets | None,
    set_of: torch.Tensor | None,
    hidden: torch.Tensor | None = None,
) -> Said:
    """Log-probability of every chunk, and the mass of its boundary set.

    The head is read once at each place, for the token behind it and for the set.

    Args:
        body: The model.
        side: Its side of the batch.
        sets: Boundary sets of its vocabulary, or None.
        set_of: [batch, chunks] the set behind each chunk, −1 for none.
        hidden: Its hidden states, if they are there already.
    """
    hidden = body.hidden(side["ids"], side["document"]) if hidden is None else hidden
    batch, tokens = side["ids"].shape
    chunks = side["final"].shape[1]
    behind = torch.full((batch * tokens,), -1, device=hidden.device)  # the label at each place
    behind[:-1] = torch.where(side["chunk"].flatten()[1:] >= 0, side["ids"].flatten()[1:], -1)
    sets_at = torch.full_like(behind, -1)
    if sets is not None and set_of is not None:
        row = torch.arange(batch, device=hidden.device)[:, None] * tokens
        used = set_of >= 0
        sets_at[(row + side["final"])[used]] = set_of[used]
    at = ((behind >= 0) | (sets_at >= 0)).nonzero()[:, 0]
    logs = head_log_probs(
        hidden.flatten(0, 1)[at],
        body.head.weight,
        body.head.bias,
        behind[at],
        sets=sets,
        set_of=None if sets is None else sets_at[at],
        scale=body.scale,
        softcap=body.softcap,
    )
    labels = torch.zeros(batch * tokens + 1, dtype=logs.labels.dtype, device=hidden.device)
    labels = labels.index_add(0, at + 1, logs.labels)[:-1].view(batch, tokens)
    found = chunk_sums(labels, side["chunk"], chunks)
    if sets is None or set_of is None or logs.masses is None:
        return Said(found, torch.zeros_like(found))
    masses = torch.zeros(batch * tokens, dtype=logs.masses.dtype, device=hidden.device)
    masses = masses.index_add(0, at, logs.masses)
    picked = masses[(row + side["final"]).flatten()].view(batch, chunks)
    return Said(found, torch.where(used, picked, 0.0))
