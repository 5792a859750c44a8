"""Chats as two models' templates write them, aligned message by message."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tokxfer.alignment.chunks import NONE, Chunks, chunks_of
from tokxfer.alignment.hidden import hidden_name, special_names
from tokxfer.alignment.places import Placer, byte_places, characters_at
from tokxfer.alignment.sides import Pair, Rendered, RenderedChat, Side
from tokxfer.shapes import Bool, Int
from tokxfer.vocabulary import Kind


@dataclass(frozen=True, eq=False)
class Reading:
    """A chat as one model reads it.

    Attributes:
        ids: [tokens] ids.
        message: [tokens] the message in whose content each token ends, −1 in none.
        ends: [tokens] byte of all contents together at which each ends, as `chunks_of` takes it.
        over: [messages] whether a token reaches over the beginning of the content.
        target: [tokens] the message of which each token is a target, should it be trained; −1 none.
        closing: [messages] place of the special token that ends the turn, −1 without one.
    """

    ids: Int[np.ndarray, " tokens"]
    message: Int[np.ndarray, " tokens"]
    ends: Int[np.ndarray, " tokens"]
    over: Bool[np.ndarray, " messages"]
    target: Int[np.ndarray, " tokens"]
    closing: Int[np.ndarray, " messages"]


def align_chat(teacher: Placer, student: Placer, chat: RenderedChat, number: int) -> Pair:
    """The pair of one chat; `Aligner.align_chats` says what is in it.

    Args:
        teacher: The teacher's placer.
        student: The student's placer.
        chat: As both templates write it.
        number: Of the chat.
    """
    said = zip(contents_of(chat.teacher), contents_of(chat.student), strict=True)
    contents = [left if left == right else "" for left, right in said]  # others have no chunks
    starts = np.cumsum([0, *(len(content.encode()) for content in contents)])
    sides = [
        read(placer, rendered, contents, starts)
        for placer, rendered in ((teacher, chat.teacher), (student, chat.student))
    ]
    chunks = chunks_of(sides[0].ends, sides[1].ends, starts)
    closed = np.array(chat.trained, dtype=bool)
    closed &= np.all([side.closing >= 0 for side in sides], axis=0)
    label, order = numbering(chunks, np.any([side.over for side in sides], axis=0), closed)
    text = "".join(contents)
    data, last = text.encode(), characters_at(text, int(starts[-1]))[chunks.ends]
    known = order[order >= 0]
    sizes = np.zeros(len(order), dtype=np.int32)
    ends = np.full(len(order), -1, dtype=np.int32)
    sizes[order >= 0], ends[order >= 0] = chunks.sizes[known], last[known]
    pieces = [data[chunks.ends[at] - chunks.sizes[at] : chunks.ends[at]] for at in known.tolist()]
    left, right = (
        sided(placer, side, chunk, (chunks, label, order), chat.trained)
        for placer, side, chunk in zip(
            (teacher, student), sides, (chunks.left, chunks.right), strict=True
        )
    )
    return Pair(left, right, sizes, ends, b"".join(pieces), True, number)


def contents_of(rendered: Rendered) -> list[str]:
    """What each message says."""
    return [rendered.text[start:stop] for start, stop in rendered.contents]


def numbering(
    chunks: Chunks, over: Bool[np.ndarray, " messages"], closed: Bool[np.ndarray, " messages"]
) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " chunks"]]:
    """Which chunks stay, with one more behind each message that is closed.

    Args:
        chunks: Of all contents.
        over: [messages] whether a token of either side reaches over the beginning of the content.
        closed: [messages] whether the end of the turn is a chunk.

    Returns:
        The new number of each chunk [found + 1], −1 for those that go, and behind the last; the old
        number of each new chunk, −2 − message for ends of turns.
    """
    order: list[int] = []
    for at in range(len(over)):
        here = range(int(chunks.first[at]), int(chunks.first[at + 1]))
        order += here[bool(over[at]) :]
        if closed[at]:
            order.append(-2 - at)
    label = np.full(len(chunks.ends) + 1, NONE, dtype=np.int32)
    found = np.array(order, dtype=np.int64)
    label[found[found >= 0]] = np.flatnonzero(found >= 0)
    return label, found


def sided(
    placer: Placer,
    side: Reading,
    chunk: Int[np.ndarray, " tokens"],
    renumbered: tuple[Chunks, Int[np.ndarray, " found"], Int[np.ndarray, " chunks"]],
    trained: tuple[bool, ...],
) -> Side:
    """One side of a chat.

    Args:
        placer: The side's.
        side: What it read.
        chunk: [tokens] chunks, counted from 0 in every content.
        renumbered: The chunks, and what `numbering` makes of them.
        trained: Of each message, whether it is.
    """
    chunks, label, order = renumbered
    found = label[np.where(chunk == NONE, NONE, chunk + chunks.first[side.message])]
    for new in np.flatnonzero(order < 0).tolist():
        found[side.closing[-2 - order[new]]] = new
    targets = np.append(np.array(trained, dtype=bool), False)[side.target]
    targets[:1] = False
    targets[(side.ids == placer.unknown) & (side.message >= 0)] = False
    begin = placer.vocabulary.roles.get("bos")
    begins = begin if len(side.ids) and begin == side.ids[0] else None
    return Side(side.ids, found, targets, begins)


def read(
    placer: Placer, rendered: Rendered, contents: list[str], starts: Int[np.ndarray, " bounds"]
) -> Reading:
    """Tokenize a chat as a template writes it, and place what ends in its contents.

    Args:
        placer: The side's.
        rendered: The chat.
        contents: What its messages say, empty where they are not to be aligned.
        starts: [messages + 1] byte of all contents together at which each begins.
    """
    text, spans = hidden(placer, rendered)
    encoding = placer.with_offsets(text)
    ids = np.array(encoding.ids, dtype=np.int64)
    byte_at = byte_places(text)
    ends = placer.by_offsets(text, encoding)
    begun = byte_at[[start for start, _ in encoding.offsets]] if len(ids) else ends
    reached = np.maximum(np.abs(ends), begun)
    special = placer.vocabulary.kinds[ids] == Kind.SPECIAL
    special &= ids != placer.vocabulary.roles.get("unk", -1)
    message, target = (np.full(len(ids), -1, dtype=np.int64) for _ in range(2))
    placed = np.zeros(len(ids), dtype=np.int64)
    over = np.zeros(len(spans), dtype=bool)
    closing = np.full(len(spans), -1, dtype=np.int64)
    bounds = [byte_at[start] for start, _ in spans[1:]] + [byte_at[-1] + 1]
    for at, (start, stop) in enumerate(spans):
        low, high = byte_at[start], byte_at[stop]
        inside = (reached > low) & (begun < high) & ~special
        target[inside] = at
        over[at] = bool((inside & (begun < low)).any())
        behind = np.flatnonzero(special & (begun >= high) & (begun < bounds[at]))
        if len(behind):
            closing[at] = behind[0]
            target[(begun >= high) & (np.arange(len(ids)) <= behind[0])] = at
        if contents[at]:
            ending = inside & (ends != 0) & (reached <= high)
            message[ending] = at
            placed[ending] = np.sign(ends[ending]) * (reached[ending] - low + starts[at])
    return Reading(ids, message, placed, over, target, closing)


def hidden(placer: Placer, rendered: Rendered) -> tuple[str, list[tuple[int, int]]]:
    """A chat whose template's special tokens go by the names they are found by.

    Returns:
        The text, and where its contents lie in it.
    """
    names = special_names(placer.vocabulary)
    longest = sorted((name for name in names if name), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) if longest else r"(?!)")

    def renamed(part: str) -> str:
        return pattern.sub(lambda found: hidden_name(names[found[0]]), part)

    parts: list[str] = []
    spans, behind, size = [], 0, 0
    for start, stop in rendered.contents:
        around = renamed(rendered.text[behind:start])
        content = rendered.text[start:stop]
        parts += [around, content]
        size += len(around)
        spans.append((size, size + len(content)))
        size, behind = size + len(content), stop
    parts.append(renamed(rendered.text[behind:]))
    return "".join(parts), spans
