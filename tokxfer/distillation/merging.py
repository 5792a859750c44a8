"""Chunks as outcomes: with the mass of what may follow, and joined until a boundary is likely.

Tokens that end where a chunk ends say more than its text: that nothing follows which would have
made the last token longer. With the mass of tokens that surely begin something new there, both
sides say the same, unless it is so small that nothing is left of the chunk: then the chunk is
joined with the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tokxfer.distillation.chunksums import at_ends, chunk_sums, valid_chunks
from tokxfer.shapes import Bool, Float, Int

GAMMA = 0.1  # the paper's


@dataclass(frozen=True, eq=False)
class Groups:
    """Which chunks are joined.

    Attributes:
        group: [batch, chunks] group of each chunk, numbered in a row; -1 where there is no chunk.
        last: [batch, chunks] whether a chunk is the last of its group.
        valid: [batch, chunks] which places hold a group, in the order of `outcomes`.
    """

    group: Int[Tensor, "batch chunks"]
    last: Bool[Tensor, "batch chunks"]
    valid: Bool[Tensor, "batch chunks"]

    @property
    def count(self) -> Tensor:
        """How many groups there are in all: what a mean over them is divided by."""
        return self.valid.sum()


def runs_end(
    chunk: Int[Tensor, "batch tokens"], final: Int[Tensor, "batch chunks"]
) -> Bool[Tensor, "batch chunks"]:
    """Whether the token behind each chunk is not the next chunk's: a document, or a gap, is there.

    Args:
        chunk: Chunk of each token, -1 in none, as the first token of every document is.
        final: Last token of each chunk.
    """
    behind = torch.nn.functional.pad(chunk[:, 1:], (0, 1), value=-1)
    return at_ends(behind, final) != at_ends(chunk, final) + 1


def merged(
    masses: Float[Tensor, "batch chunks"],
    valid: Bool[Tensor, "batch chunks"],
    ends: Bool[Tensor, "batch chunks"],
    gamma: float = GAMMA,
) -> Groups:
    """Join each chunk behind which a boundary is unlikely with the next, until one is likely.

    Args:
        masses: The teacher's log-mass of its boundary set behind each chunk.
        valid: Which places hold a chunk.
        ends: Chunks with which a group ends in any case: those before another document, or before
            tokens that are no targets, on either side; see `runs_end`.
        gamma: A boundary is likely if its probability is above; 0 joins none.
    """
    likely = masses > (math.log(gamma) if gamma > 0 else -math.inf)
    before_nothing = ~torch.nn.functional.pad(valid[:, 1:], (0, 1), value=False)
    last = valid & (likely | ends | before_nothing)
    ended = last.cumsum(1)
    group = (ended - last.long()).masked_fill(~valid, -1)
    return Groups(group, last, valid_chunks(last.sum(1), valid.shape[1]))


def outcomes(
    chunks: Float[Tensor, "batch chunks"],
    masses: Float[Tensor, "batch chunks"] | None,
    groups: Groups,
) -> Float[Tensor, "batch chunks"]:
    """Log-probability of each group: of its chunks, and of a boundary behind the last of them.

    Args:
        chunks: Log-probability of each chunk.
        masses: Log-mass of this side's boundary set behind each chunk; None to leave it out.
        groups: What is joined: the teacher's decision, for both sides.
    """
    places = chunks.shape[1]
    found = chunk_sums(chunks, groups.group, places)
    if masses is None:
        return found
    return found + chunk_sums(masses, groups.group.masked_fill(~groups.last, -1), places)
