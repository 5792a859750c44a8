"""Rows that training hardly touched: they look like those of bytes that no text contains."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.shapes import Float
from tokxfer.vocabulary import ByteVocabulary, Kind

# Bytes that never occur in UTF-8, so that no text ever trained their tokens.
NEVER_IN_TEXT = frozenset(bytes([value]) for value in (0xC0, 0xC1, *range(0xF5, 0x100)))
RESERVED = re.compile(r"[\[<]\|?_?(?:unused|reserved)[\w ]*\|?[\]>]", re.IGNORECASE)
MARGIN = 1.2
LARGEST_SHARE = 0.5


def undertrained_rows(
    rows: Float[torch.Tensor, "tokens dim"], vocabulary: ByteVocabulary
) -> npt.NDArray[np.bool_]:
    """Whether training hardly touched each row [tokens].

    The reference are tokens known never to have been trained: those of the 13 bytes that UTF-8
    text cannot contain, ids without a token (padding), and tokens that are called unused or
    reserved (`[unused7]`). A row is distrusted when it is no
    farther from the centre of the references than they themselves are, with a margin. Without at
    least three references, or where most rows look like them, nothing is distrusted.

    Source: the idea of comparing with known-unused tokens is from Land and Bartolo, "Fishing for
    Magikarp" (2405.05417).
    """
    known = reference_rows(len(rows), vocabulary)
    if len(known) < 3:
        return np.zeros(len(rows), dtype=bool)
    references = rows[torch.from_numpy(known).to(rows.device)].float()
    centre = references.mean(dim=0)
    # Each reference helped to place the centre, which brings it nearer by a factor of 1 - 1/n.
    reach = (references - centre).norm(dim=1).max() * len(known) / (len(known) - 1)
    distances = (rows.float() - centre).norm(dim=1)
    near: npt.NDArray[np.bool_] = (distances <= MARGIN * reach).cpu().numpy()
    return near if near.mean() <= LARGEST_SHARE else np.zeros_like(near)


def reference_rows(size: int, vocabulary: ByteVocabulary) -> npt.NDArray[np.int64]:
    """Ids below `size` whose rows no text can have trained, padding rows included."""
    unseen = [
        token_id
        for token_id in range(size)
        if token_id >= vocabulary.size
        or vocabulary.kinds[token_id] == Kind.UNUSED
        or RESERVED.fullmatch(vocabulary.names[token_id])
        or (
            vocabulary.kinds[token_id] != Kind.SPECIAL
            and vocabulary.tokens[token_id] in NEVER_IN_TEXT
        )
    ]
    return np.array(unseen, dtype=np.int64)
