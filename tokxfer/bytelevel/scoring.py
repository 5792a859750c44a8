"""Scores of given bytes, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tokxfer.bytelevel.asking import advance_far, together
from tokxfer.bytelevel.core import ByteModel
from tokxfer.bytelevel.law import STOP
from tokxfer.bytelevel.scores import Score


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
