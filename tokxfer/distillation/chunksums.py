"""Sums over the chunks of each row, and what stands at the ends of chunks."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor

from tokxfer.shapes import Bool, Float, Int


def chunk_sums(
    values: Float[Tensor, "batch tokens"], chunk: Int[Tensor, "batch tokens"], chunks: int
) -> Float[Tensor, "batch chunks"]:
    """Sum the values of each chunk's tokens, in at least single precision.

    Args:
        values: One per token, such as log-probabilities.
        chunk: Chunk of each token, -1 in none: such a token's value is not looked at.
        chunks: Chunks to return; ids lie below.

    Returns:
        0 for chunks that no token belongs to.
    """
    batch = len(values)
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    sums = values.new_zeros(batch * (chunks + 1))  # the first of each row is for tokens in none
    rows = torch.arange(batch, device=chunk.device).unsqueeze(1) * (chunks + 1)
    sums = sums.index_add(0, (rows + 1 + chunk).flatten(), values.flatten())
    return sums.view(batch, chunks + 1)[:, 1:]


def at_ends(
    values: Shaped[Tensor, "batch tokens *more"], final: Int[Tensor, "batch chunks"]
) -> Shaped[Tensor, "batch chunks *more"]:
    """What stands at the last token of each chunk, such as the log-mass of what may follow it."""
    rows = torch.arange(len(values), device=final.device).unsqueeze(1)
    return values[rows, final]


def valid_chunks(counts: Int[Tensor, " batch"], chunks: int) -> Bool[Tensor, "batch chunks"]:
    """Which of `chunks` places hold a chunk of their row: those before the row's count."""
    return torch.arange(chunks, device=counts.device) < counts.unsqueeze(1)
