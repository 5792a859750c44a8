"""Batches of texts as two models read them: what objectives are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokxfer.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class SideBatch:
    """One side of a batch.

    Attributes:
        ids: [batch, tokens] ids, int64; the pad id where nothing is.
        document: [batch, tokens] which document of its row a token belongs to, int32; −1 padding.
        chunk: [batch, tokens] chunk of the row that the token, as a target, belongs to, int32; −1
            in none.
        trained: [batch, tokens] whether the token is a target: neither the first of a document, nor
            of a prompt, nor padding.
        final: [batch, chunks] place of the last token of each chunk, int64; 0 behind a row's last.
        said: [batch, tokens, 2] what the model said before, float32; None where it was not asked.
    """

    ids: Int[np.ndarray, "batch tokens"]
    document: Int[np.ndarray, "batch tokens"]
    chunk: Int[np.ndarray, "batch tokens"]
    trained: Bool[np.ndarray, "batch tokens"]
    final: Int[np.ndarray, "batch chunks"]
    said: Float[np.ndarray, "batch tokens 2"] | None = None


@dataclass(frozen=True)
class Text:
    """The text of one document of a row.

    Attributes:
        data: UTF-8 of the window.
        begins: Whether the text begins here, and no part of it was cut away before.
    """

    data: bytes
    begins: bool


@dataclass(frozen=True, eq=False)
class AlignedBatch:
    """Rows of documents as teacher and student read them.

    A token is predicted by what stands before it in the same document. A chunk is there only where
    all its tokens are targets, on both sides.

    Attributes:
        teacher: The teacher's side.
        student: The student's side.
        counts: [batch] chunks of each row, int32.
        sizes: [batch, chunks] bytes of text in each, int32; 0 for a special token.
        last: [batch, chunks] code point of the character that ends with it, int32; −1 where none
            does.
        texts: Of each row, its documents' texts.
    """

    teacher: SideBatch
    student: SideBatch
    counts: Int[np.ndarray, " batch"]
    sizes: Int[np.ndarray, "batch chunks"]
    last: Int[np.ndarray, "batch chunks"]
    texts: list[list[Text]]
