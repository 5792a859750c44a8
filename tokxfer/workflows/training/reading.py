"""Where a side's head is read, and what it says there, put together by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tokxfer.distillation.chunksums import at_ends, chunk_sums
from tokxfer.distillation.linearhead import TokenSets, head_log_probs
from tokxfer.shapes import Float, Int
from tokxfer.workflows.training.bodies import Body

Side = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Said:
    """What a side says of a batch.

    Attributes:
        tokens: [batch, tokens] log-probability of each token that was asked for; 0 elsewhere.
        chunks: [batch, chunks] that of each chunk's tokens; 0 behind a row's last.
        masses: [batch, chunks] log-mass of the boundary set behind each; None without sets.
    """

    tokens: Float[torch.Tensor, "batch tokens"]
    chunks: Float[torch.Tensor, "batch chunks"]
    masses: Float[torch.Tensor, "batch chunks"] | None


def read(
    body: Body,
    side: Side,
    *,
    sets: TokenSets | None = None,
    set_of: Int[torch.Tensor, "batch chunks"] | None = None,
    whole: bool = False,
    hidden: Float[torch.Tensor, "batch tokens dim"] | None = None,
) -> Said:
    """Log-probability of every chunk, and the mass of its boundary set.

    The head is read once at each place, for the token behind it and for the set.

    Args:
        body: The model.
        side: Its side of the batch.
        sets: Boundary sets of its vocabulary, or None.
        set_of: The set behind each chunk, −1 for none.
        whole: Whether to ask for all trained tokens, also those in no chunk.
        hidden: Its hidden states, if they are there already.
    """
    hidden = body.hidden(side["ids"], side["document"]) if hidden is None else hidden
    shape, chunks = side["ids"].shape, side["final"].shape[1]
    asked = side["trained"] if whole else side["chunk"] >= 0
    behind = torch.full(shape, -1, device=hidden.device)  # the token behind each place
    behind[:, :-1] = torch.where(asked[:, 1:], side["ids"][:, 1:], -1)
    sets_at = torch.full_like(behind, -1)
    if set_of is not None:
        used = set_of >= 0
        rows = torch.arange(shape[0], device=hidden.device)[:, None].expand_as(set_of)
        sets_at[rows[used], side["final"][used]] = set_of[used]
    at = ((behind >= 0) | (sets_at >= 0)).flatten().nonzero()[:, 0]
    logs = head_log_probs(
        hidden.flatten(0, 1)[at],
        body.head.weight,
        body.head.bias,
        behind.flatten()[at],
        sets=sets,
        set_of=None if sets is None else sets_at.flatten()[at],
        scale=body.scale,
        softcap=body.softcap,
    )
    tokens = torch.nn.functional.pad(spread(logs.labels, at, shape)[:, :-1], (1, 0))
    masses = None
    if logs.masses is not None and set_of is not None:
        masses = at_ends(spread(logs.masses, at, shape), side["final"]).where(used, 0.0)
    return Said(tokens, chunk_sums(tokens, side["chunk"], chunks), masses)


def told(side: Side, set_of: Int[torch.Tensor, "batch chunks"] | None) -> Said:
    """What a side said before, of which a cache holds its tokens and its boundaries.

    Args:
        side: Its side of the batch, with `said`.
        set_of: The boundary set behind each chunk, −1 for none; None without sets.
    """
    chunks = side["final"].shape[1]
    tokens = side["said"][..., 0].masked_fill(~side["trained"], 0.0)
    masses = None
    if set_of is not None:
        masses = at_ends(side["said"][..., 1], side["final"]).where(set_of >= 0, 0.0)
    return Said(tokens, chunk_sums(tokens, side["chunk"], chunks), masses)


def spread(values: torch.Tensor, at: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Values at some places of a table, 0 elsewhere [batch, tokens]."""
    table = torch.zeros(shape.numel(), dtype=values.dtype, device=values.device)
    return table.index_copy(0, at, values).view(shape)
