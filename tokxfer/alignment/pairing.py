"""`Aligner`: texts as two models read them, with the chunks that both readings share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tokxfer.alignment.chats import align_chat
from tokxfer.alignment.chunks import NONE, chunks_of
from tokxfer.alignment.places import Placer, Places, characters_at
from tokxfer.alignment.sides import Pair, RenderedChat, Side
from tokxfer.shapes import Int
from tokxfer.vocabulary import ByteVocabulary

__all__ = ["Aligner", "Pair", "Side"]

BEGIN, END = ("bos", "cls"), ("eos", "sep")  # what begins and ends a text, by preference


class Aligner:
    """Turns texts into pairs of sides.

    Special tokens have no bytes, and so no place in a text. Where both sides have one of the same
    role at the same place, it is a chunk of its own, of no bytes.

    Args:
        teacher: Vocabulary of the model that is learnt from.
        student: Vocabulary of the model that learns.
    """

    def __init__(self, teacher: ByteVocabulary, student: ByteVocabulary) -> None:
        self.teacher, self.student = Placer(teacher), Placer(student)

    def align(self, texts: Sequence[str], add_ends: bool = True) -> list[Pair]:
        """Read texts with both tokenizers, and find the chunks that they share.

        Args:
            texts: Any, also empty ones. What spells a special token is text like any other.
            add_ends: Whether to begin with each side's bos, or else cls, if it has one, and to end
                with both sides' eos, or else sep, if both have one. Texts without them, like
                windows of them, begin with a token that nobody predicts.

        Returns:
            A pair for each text.
        """
        return self.aligned(texts, self.teacher.encode(texts), self.student.encode(texts), add_ends)

    def aligned(
        self, texts: Sequence[str], teacher: Sequence[Any], student: Sequence[Any], add_ends: bool
    ) -> list[Pair]:
        """`align` behind its tokenizing.

        Args:
            texts: The texts.
            teacher: What the teacher's placer encodes them as.
            student: What the student's does.
            add_ends: As of `align`.
        """
        data = [text.encode() for text in texts]
        placed = [
            placer.placed(rows, data, texts)
            for placer, rows in ((self.teacher, teacher), (self.student, student))
        ]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in data], dtype=np.int64)])
        chunks = chunks_of(placed[0].ends, placed[1].ends, starts)
        last = characters_at("".join(texts), int(starts[-1]))[chunks.ends]
        counts = np.diff(chunks.first)
        begin, end = self._ends() if add_ends else ([None, None], [None, None])
        sides = [
            sided(places, found, counts, (first, final), placer.unknown)
            for places, found, first, final, placer in zip(
                placed,
                (chunks.left, chunks.right),
                begin,
                end,
                (self.teacher, self.student),
                strict=True,
            )
        ]
        sizes, last = chunks.sizes.astype(np.int32), last.astype(np.int32)
        first = chunks.first
        if end[0] is not None:
            sizes, last = np.insert(sizes, first[1:], 0), np.insert(last, first[1:], -1)
            first = first + np.arange(len(first))
        bounds = pairwise(first.tolist())
        return [
            Pair(left, right, sizes[low:high], last[low:high], one, True, number)
            for number, (left, right, (low, high), one) in enumerate(
                zip(*sides, bounds, data, strict=True)
            )
        ]

    def align_chats(self, chats: Sequence[RenderedChat]) -> list[Pair]:
        """Read chats with both tokenizers, each as its own template writes them.

        What messages say is aligned message by message; what templates write around it is in no
        chunk. Special tokens that a template writes are ids; a message that spells one is text. A
        token that reaches over the border of a message ends no chunk: a side's chunk that began
        there would hold more text than the other's. The special token behind a message that is
        trained ends a turn, and is a chunk of no bytes, whatever each side calls it. Targets are
        the tokens of such messages, up to that special token.

        Args:
            chats: What is to be read.

        Returns:
            A pair for each chat, its text what all of its chunks stand for. No special token is
            added to what templates write.
        """
        return [
            align_chat(self.teacher, self.student, chat, number)
            for number, chat in enumerate(chats)
        ]

    def _ends(self) -> tuple[list[int | None], list[int | None]]:
        """The ids with which each side's texts begin and end, teacher's first."""
        vocabularies = (self.teacher.vocabulary, self.student.vocabulary)
        begin, end = (
            [next((v.roles[role] for role in roles if role in v.roles), None) for v in vocabularies]
            for roles in (BEGIN, END)
        )
        return begin, end if None not in end else [None, None]


def sided(
    places: Places,
    chunk: Int[np.ndarray, " tokens"],
    counts: Int[np.ndarray, " texts"],
    ends: tuple[int | None, int | None],
    unknown: int,
) -> list[Side]:
    """One side of every text, with special tokens at its ends.

    Args:
        places: The tokens.
        chunk: [tokens] their chunks.
        counts: [texts] chunks of each text.
        ends: What to put before each text, in no chunk, and behind it, as a chunk of its own; None
            for nothing.
        unknown: The id that stands for text without a token, which is no target.
    """
    begin, end = ends
    added = (begin is not None) + (end is not None)
    texts = np.arange(len(counts))
    first = places.first + added * np.arange(len(places.first))
    at = np.arange(len(places.ids)) + np.repeat(added * texts, np.diff(places.first))
    at += begin is not None
    ids = np.empty(first[-1], dtype=np.int64)
    found = np.full(len(ids), NONE, dtype=np.int32)
    trained = np.ones(len(ids), dtype=bool)
    ids[at], found[at] = places.ids, chunk
    if begin is not None:
        ids[first[:-1]] = begin
    if end is not None:
        ids[first[1:] - 1], found[first[1:] - 1] = end, counts
    trained[at] = places.ids != unknown
    trained[first[:-1][np.diff(first) > 0]] = False
    bounds = first.tolist()
    return [
        Side(ids[low:high], found[low:high], trained[low:high], begin)
        for low, high in pairwise(bounds)
    ]
