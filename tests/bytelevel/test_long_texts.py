"""Long texts, byte by byte: no memory beyond the model's own, time in proportion, no recursion."""

from __future__ import annotations

import gc
import inspect
import json
import sys
import time
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.vocabulary import read_vocabulary

MODELS = Path(__file__).resolve().parents[2] / "models"
BLOCK = 512
FRAMES = 220  # with those below, about 300


class TableTree:
    """Answers at once from a table, and keeps nothing, so that all memory is that of the streams.

    Args:
        ids: Of the tokenizer.
    """

    def __init__(self, ids: int) -> None:
        self._rows = torch.randn(256, ids, generator=torch.Generator().manual_seed(0))
        self.size = 0

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree."""
        self.size += len(tokens)
        wanted = range(len(tokens)) if asked is None else asked
        return self._rows[[(self.size + at) % len(self._rows) for at in wanted]]

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: there is nothing."""


@pytest.mark.slow
@pytest.mark.parametrize(("law", "size"), [("canonical", 34 * 1024), ("all", 1536)])
def test_a_long_text_takes_no_memory_no_recursion_and_time_in_proportion(
    law: str, size: int
) -> None:
    """What is known of the vocabulary is kept, but once, so the same text is read three times."""
    lines = (MODELS / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    part = "\n\n".join(json.loads(line)["text"] for line in lines).encode()[:size]
    assert len(part) == size
    vocabulary = read_vocabulary(MODELS / "english-bytebpe")
    lm = ByteLM(None, vocabulary, law=law, trees=lambda: TableTree(vocabulary.size))
    state = lm.start()

    def read(text: bytes) -> float:
        """Go on by a text; the seconds that it takes."""
        started = time.process_time()
        for at in range(0, len(text), BLOCK):
            state.push(text[at : at + BLOCK])
        return time.process_time() - started

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + FRAMES)
    try:
        read(part)
        tracemalloc.start()
        first = read(part)
        gc.collect()
        early = tracemalloc.get_traced_memory()[0]
        second = read(part)
        gc.collect()
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        sys.setrecursionlimit(before)
    assert late - early < 8 * len(part)  # the ids of the tokens: 8 bytes for each
    assert second < 1.5 * first + 0.5
    nodes, above = 0, state.stream.frontier.live[0].node
    while above.parent is not None:
        nodes, above = nodes + 1, above.parent
    assert nodes < 600 < len(state.stream.frontier.live[0].node.path())
