"""Scores of given bytes, with gradients or without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from tokxfer.bytelevel.asking import ROOM, advance_far
from tokxfer.bytelevel.context import Beginning
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.law import STOP
from tokxfer.bytelevel.mass import byte_masses
from tokxfer.bytelevel.scores import Score
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.errors import UsageError


def score_texts(
    lm: ByteModel,
    data: Sequence[bytes],
    context: list[int],
    *,
    epsilon: float,
    laws: bool = False,
    window: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Score]:
    """Scores of texts behind one context, short ones side by side in one tree.

    `progress` hears of every so many bytes that are done.
    """
    found: dict[int, Score] = {}
    for group in together([len(text) for text in data]):
        tree = lm.tree(window=window)
        streams = lm.streams(tree, context, epsilon, len(group))
        last = [stream.law for stream in streams]
        nats: list[list[float]] = [[] for _ in group]
        whole = [[law.nats] for law in last]
        for parts in advance_far(tree, streams, [data[at] for at in group]):
            for row, (at, part) in enumerate(zip(group, parts, strict=True)):
                for law in part:
                    nats[row].append(float(last[row].nats[data[at][len(nats[row])]]))
                    last[row] = law
                    if laws:
                        whole[row].append(law.nats)
            if progress is not None:
                progress(sum(map(len, parts)))
        for row, at in enumerate(group):
            found[at] = Score(
                data=data[at],
                nats=torch.tensor(nats[row], dtype=torch.float64),
                stop=float(last[row].nats[STOP]),
                law=lm.law,
                mass=last[row].mass,
                missing=last[row].missing,
                laws=torch.from_numpy(np.stack(whole[row])) if laws else None,
                asked=streams[row].asked,
            )
    return [found[at] for at in range(len(data))]


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


def score_with_gradients(lm: ByteModel, data: bytes, context: list[int], *, laws: bool) -> Score:
    """The score of one text, from one forward pass that gradients go back through.

    Raises:
        UsageError: The text is longer than the model, or nothing stands before it.
    """
    if not context:
        raise UsageError(
            "Gradients need a context, and the model has no token that begins texts.",
            "Give a context.",
        )
    cover = CoverTree.of(data, lm.frontier(begins=isinstance(context, Beginning)))
    deepest = max(node.depth for node in cover.nodes)
    if lm.length is not None and len(context) + deepest > lm.length:
        raise UsageError(
            f"A text of {len(data):,} bytes is longer than the {lm.length:,} tokens of the model.",
            "Score it in parts, or without gradients.",
        )
    tree = lm.tree(windowed=False)
    base = len(context) - 1
    parents = [*range(-1, base), *(cover.parents[1:] + base).tolist()]
    asked = range(base, base + len(cover))
    logits = tree.extend(parents, [*context, *cover.tokens[1:].tolist()], asked=list(asked))
    masses = byte_masses(cover, lm.tokens, logits)
    nats = masses.conditionals()
    return Score(
        data=data,
        nats=nats[torch.arange(len(data)), torch.tensor(list(data), dtype=torch.long)],
        stop=float(nats[-1, STOP].detach()),
        law=lm.law,
        mass=float(masses.beginnings[-1].detach()),
        laws=nats if laws else None,
        asked=len(cover),
    )
