"""A text as the bytes of a model's tokens, and where each of its own bytes is among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokxfer.bytelevel.context import Beginning
from tokxfer.bytelevel.core import ByteModel
from tokxfer.errors import UsageError
from tokxfer.shapes import Int


@dataclass(frozen=True, eq=False)
class Spelled:
    """A text as a model's tokens spell it.

    Attributes:
        data: The bytes of its tokens, a space that encoding puts before them included.
        places: [bytes + 1] of the text itself: how many of `data` stand before each of its bytes,
            and before its end; −1 where the tokenizer changes it, or cannot spell it.
    """

    data: bytes
    places: Int[np.ndarray, " places"]


def spell_places(lm: ByteModel, text: str | bytes, context: Sequence[int]) -> Spelled:
    """Spell a text behind a context, and say where its bytes are.

    Whatever the text holds, nothing is refused: a tokenizer that changes texts spells what stands
    before the first characters that it has no tokens for, and the rest has no places.

    Args:
        lm: The model.
        text: UTF-8, or other bytes, which are taken as they are.
        context: What stands before, as `ByteModel.context` gives it.
    """
    begins = isinstance(context, Beginning)
    try:
        told = text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError:
        assert isinstance(text, bytes)
        return shifted(text, lm.prefixed and begins)
    raw = told.encode()
    if not begins and not lm.vocabulary.normalizes:
        return shifted(raw, False)
    try:
        data = lm.begun(told, context)
    except UsageError:
        return by_pieces(lm, told)
    if data == raw:  # the space before it may be its own: then its first byte was no choice
        found = shifted(raw, False)
        if begins and lm.prefixed:
            found.places[0] = -1
        return found
    return shifted(raw, True) if data == b" " + raw else by_pieces(lm, told)


def shifted(raw: bytes, space: bool) -> Spelled:
    """A text that is spelled as it is, perhaps behind a space."""
    return Spelled(b" " * space + raw, np.arange(len(raw) + 1) + space)


def by_pieces(lm: ByteModel, text: str) -> Spelled:
    """A text that the tokenizer changes: bytes that are the same before and after."""
    raw = text.encode()
    at = np.cumsum([0, *(len(character.encode()) for character in text)])
    places = np.full(len(raw) + 1, -1)
    data = b""
    for spelled, (start, end), name in lm.pieces(text):
        begin, own = int(at[start]), raw[at[start] : at[end]]
        if not spelled and own != name.encode():
            return Spelled(data, places)
        spelled = spelled or own
        if len(spelled) == len(own) + 1 and spelled[:1] == raw[begin - 1 : begin] == b" ":
            begin, own = begin - 1, b" " + own  # offsets may leave out a word's space
        offset = len(data) + (len(spelled) == len(own) + 1 and spelled[:1] == b" ")
        data += spelled
        if len(own) == len(data) - offset:
            same = np.frombuffer(own, np.uint8) == np.frombuffer(data[offset:], np.uint8)
            where = np.flatnonzero(same & (places[begin : begin + len(own)] < 0))
            places[begin + where] = offset + where
    places[-1] = len(data)
    return Spelled(data, places)
