"""Several texts gone through at once, with one model for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from tokxfer.bytelevel.context import CachedContext
from tokxfer.bytelevel.frontier import Node
from tokxfer.bytelevel.law import ByteLaw
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.treemodel import ROOT, AttentionTree, TreeModel
from tokxfer.bytelevel.windows import PART, WindowedTree

LOGITS = 1 << 27  # bytes of logits that exist at once
BLOCK = 512  # tokens of a context that are read at once
ROOM = 2048  # bytes of known texts that are gone through at once


@torch.no_grad()
def read(model: TreeModel, context: Sequence[int], ids: int) -> tuple[int, torch.Tensor]:
    """Read a context, as far as no cache holds it; its last node's number, and the answer there.

    The answer is [ids]. Behind an empty context every token is equally likely.
    """
    number, logits, known = ROOT, torch.zeros(1, ids), 0
    if isinstance(context, CachedContext) and isinstance(model, AttentionTree | WindowedTree):
        known = model.adopt(context[: context.read], context.cache)
        number = known - 1 if known else ROOT
    for start in range(known, len(context), BLOCK):
        part = context[start : start + BLOCK]
        first = model.size
        parents = [number, *range(first, first + len(part) - 1)]
        logits = model.extend(parents, part, asked=[len(part) - 1])
        number = first + len(part) - 1
        model.keep([number])
    return number, logits[0].cpu()


@torch.no_grad()
def advance(
    model: TreeModel, streams: Sequence[Stream], data: Sequence[bytes]
) -> list[list[ByteLaw]]:
    """Take each stream through bytes of its own; the laws behind each byte.

    Without bytes, the law of the place where a stream stands.
    """
    for stream, known in zip(streams, data, strict=True):
        stream.open(known)
    while wanted := [(stream, node) for stream in streams for node in stream.wanted()]:
        ask(model, wanted)
    laws = [stream.finish() for stream in streams]
    numbers = {number for stream in streams for number in stream.numbers()}
    model.keep(numbers - {ROOT})
    return laws


def ask_all(model: TreeModel, streams: Sequence[Stream]) -> None:
    """Ask at the live nodes that were left out."""
    for stream in streams:
        stream.epsilon = 0.0
    advance(model, streams, [b""] * len(streams))


def ask(model: TreeModel, wanted: Sequence[tuple[Stream, Node]]) -> None:
    """Ask a model at nodes, as many at once as memory allows."""
    size = min(PART, max(1, LOGITS // (4 * len(wanted[0][0].tokens.places))))
    for start in range(0, len(wanted), size):
        part = wanted[start : start + size]
        numbers = {node: model.size + at for at, (_, node) in enumerate(part)}
        parents = []
        for stream, node in part:
            parent = stream.parent_of(node)
            parents.append(numbers[parent] if isinstance(parent, Node) else parent)
        logits = model.extend(parents, [node.token for _, node in part]).cpu()
        for (stream, node), row in zip(part, logits, strict=True):
            stream.answer(node, numbers[node], row)


def advance_far(
    model: TreeModel, streams: Sequence[Stream], data: Sequence[bytes]
) -> Iterable[list[list[ByteLaw]]]:
    """Take each stream through bytes of its own, however many; laws, some places at a time."""
    size = max(1, ROOM // len(streams))
    for start in range(0, max(map(len, data)), size):
        parts = [known[start : start + size] for known in data]
        laws = advance(model, streams, parts)
        yield [found if part else [] for found, part in zip(laws, parts, strict=True)]


def together(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Texts, by number, to be gone through side by side: as many as there is room for."""
    group: list[int] = []
    for at in sorted(range(len(sizes)), key=sizes.__getitem__):
        if group and (len(group) + 1) * sizes[at] > ROOM:
            yield group
            group = []
        group.append(at)
    if group:
        yield group
