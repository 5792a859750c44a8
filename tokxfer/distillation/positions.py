"""Which tokens of two sides are compared: flat indices batch·tokens + token, for `Rows.before`."""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.distillation.chunksums import chunk_sums, valid_chunks
from tokxfer.shapes import Bool, Float, Int


def last_tokens(
    final: Int[Tensor, "batch chunks"], counts: Int[Tensor, " batch"], tokens: int
) -> Int[Tensor, " found"]:
    """The last token of every chunk, in order of rows and chunks.

    Args:
        final: Place of each chunk's last token.
        counts: Chunks of each row.
        tokens: Tokens of a row.
    """
    rows = torch.arange(len(final), device=final.device).unsqueeze(1) * tokens
    return (rows + final)[valid_chunks(counts, final.shape[1])]


def first_tokens(
    chunk: Int[Tensor, "batch tokens"], counts: Int[Tensor, " batch"], chunks: int
) -> Int[Tensor, " found"]:
    """The first token of every chunk: before it, both sides have read the same text.

    Args:
        chunk: Chunk of each token, −1 in none.
        counts: Chunks of each row.
        chunks: The most of any row.
    """
    batch, tokens = chunk.shape
    place = torch.arange(tokens, device=chunk.device).expand(batch, tokens)
    first = place.new_full((batch, chunks + 1), tokens)
    first = first.scatter_reduce(1, chunk.long() + 1, place, "amin")[:, 1:]
    return last_tokens(first, counts, tokens)


def earlier(
    log_probs: Float[Tensor, "batch tokens"],
    chunk: Int[Tensor, "batch tokens"],
    final: Int[Tensor, "batch chunks"],
    counts: Int[Tensor, " batch"],
) -> Float[Tensor, " found"]:
    """Log-probability of all of a chunk's tokens but its last, in the order of `last_tokens`.

    Args:
        log_probs: Of every token, given those before it.
        chunk: Chunk of each token, −1 in none.
        final: Place of each chunk's last token.
        counts: Chunks of each row.
    """
    chunks = final.shape[1]
    at_last = torch.zeros_like(chunk, dtype=torch.bool).flatten()
    at_last[last_tokens(final, counts, chunk.shape[1])] = True
    others = chunk.masked_fill(at_last.view(chunk.shape), -1)
    return chunk_sums(log_probs, others, chunks)[valid_chunks(counts, chunks)]


def one_to_one(
    teacher: Int[Tensor, "batch teacher_tokens"],
    student: Int[Tensor, "batch student_tokens"],
    counts: Int[Tensor, " batch"],
    chunks: int,
) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
    """The tokens of chunks that are one token on either side: teacher's and student's.

    Args:
        teacher: Chunk of each of its tokens, −1 in none.
        student: The same.
        counts: Chunks of each row.
        chunks: The most of any row.
    """
    single = valid_chunks(counts, chunks)
    for side in (teacher, student):
        single = single & (
            chunk_sums(torch.ones_like(side, dtype=torch.float32), side, chunks) == 1
        )
    keep = single[valid_chunks(counts, chunks)]
    return first_tokens(teacher, counts, chunks)[keep], first_tokens(student, counts, chunks)[keep]


def kth_tokens(
    teacher: Bool[Tensor, "batch teacher_tokens"],
    student: Bool[Tensor, "batch student_tokens"],
    teacher_document: Int[Tensor, "batch teacher_tokens"],
    student_document: Int[Tensor, "batch student_tokens"],
) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
    """The k-th target of a document against the k-th of it on the other side, whatever they say.

    Args:
        teacher: Which of its tokens are targets.
        student: The same.
        teacher_document: Document of its row that each token belongs to, −1 padding.
        student_document: The same.

    Returns:
        Up to the shorter side of each document, the teacher's and the student's.
    """
    size = 1 + max(teacher.shape[1], student.shape[1])
    theirs = _rank_keys(teacher, teacher_document, size)
    mine = _rank_keys(student, student_document, size)
    return (
        teacher.flatten().nonzero()[:, 0][torch.isin(theirs, mine)],
        student.flatten().nonzero()[:, 0][torch.isin(mine, theirs)],
    )


def _rank_keys(
    targets: Bool[Tensor, "batch tokens"], document: Int[Tensor, "batch tokens"], size: int
) -> Int[Tensor, " found"]:
    """One number for row, document and rank among its targets, rising with the place."""
    batch, tokens = targets.shape
    column, found = document.long() + 1, targets.long()
    place = torch.arange(tokens, device=targets.device).expand(batch, tokens)
    begin = place.new_full((batch, size), tokens).scatter_reduce(1, column, place, "amin")
    before = found.cumsum(1) - found  # targets of the row before each token
    rank = before - before.gather(1, begin.gather(1, column))
    row = torch.arange(batch, device=targets.device).unsqueeze(1)
    return ((row * size + column) * size + rank)[targets]
