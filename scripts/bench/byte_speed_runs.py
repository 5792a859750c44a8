"""The laps of `byte_speed.py`: one model and one text, gone through in several ways."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.treemodel import answers

LIMIT = "one forward, a position a byte"


@dataclass
class Lap:
    """What one way of going through a text took.

    Attributes:
        seconds: Wall time.
        bytes: Bytes of text.
        heads: Answers that the model was asked for, if they were counted.
        model_seconds: Wall time within the model, if it was measured.
        zeros: True bytes that were given probability zero.
    """

    seconds: float
    bytes: int
    heads: int | None = None
    model_seconds: float = 0.0
    zeros: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Contest:
    """One model and one text.

    Args:
        lm: The model.
        text: Bytes of UTF-8.
        epsilon: What is left out in the laps that leave something out; 0 has none.
    """

    def __init__(self, lm: ByteLM, text: bytes, epsilon: float) -> None:
        self.lm, self.text, self.epsilon = lm, text, epsilon
        self.ids = lm.vocabulary.encode(text.decode())

    def round(self) -> dict[str, Lap]:
        """Every way once."""
        ways: dict[str, Callable[[], int | None]] = {
            "plain tokens": self.plain,
            LIMIT: self.limit,
            "score, all laws": lambda: self.score(0.0),
            "stream, all laws": lambda: self.stream(0.0),
            "sampled tokens": self.sampled,
            "generate": self.generate,
        }
        if self.epsilon:
            ways[f"score, epsilon {self.epsilon:g}"] = lambda: self.score(self.epsilon)
            ways[f"stream, epsilon {self.epsilon:g}"] = lambda: self.stream(self.epsilon)
        return {name: self.lap(way) for name, way in ways.items()}

    def lap(self, way: Callable[[], int | None]) -> Lap:
        """Time one way, and what of it the model takes."""
        with clocked(self.lm.model) as spent, torch.no_grad():
            started = time.perf_counter()
            heads = way()
            seconds = time.perf_counter() - started
        return Lap(seconds, len(self.text), heads, spent[0])

    def plain(self) -> int:
        """Token after token of the text with a cache, every law of the next token."""
        cache, fed = None, [self.lm.begin or 0]
        for token in self.ids:
            out = self.lm.model(
                input_ids=torch.tensor([fed]), past_key_values=cache, use_cache=True
            )
            out.logits[0, -1].log_softmax(dim=-1)
            cache, fed = out.past_key_values, [token]
        return len(self.ids)

    def limit(self) -> int:
        """What the model itself takes for as many positions as there are bytes."""
        ids = torch.tensor([[(at * 7) % 1000 for at in range(len(self.text))]])
        answers(self.lm.model, {"input_ids": ids, "use_cache": False})
        return len(self.text)

    def score(self, epsilon: float) -> int:
        """The text's score, with every law of the next byte."""
        return self.lm.score(self.text, epsilon=epsilon, laws=True).asked

    def stream(self, epsilon: float) -> int:
        """Byte after byte, the law looked at behind each."""
        state = self.lm.start(epsilon=epsilon)
        for byte in self.text:
            assert len(state.push(bytes([byte]))[-1].nats) == 256
        return state.asked

    def generate(self) -> None:
        """As many new bytes, no filter."""
        self.lm.generate("The ", max_new_bytes=len(self.text), seed=1)

    def sampled(self) -> None:
        """As many new bytes by tokens that are drawn in a plain loop behind a cache."""
        source, size, cache = np.random.default_rng(1), 0, None
        fed = [self.lm.begin or 0, *self.lm.vocabulary.encode("The")]
        while size < len(self.text):
            out = self.lm.model(
                input_ids=torch.tensor([fed]), past_key_values=cache, use_cache=True
            )
            shares = out.logits[0, -1, : self.lm.vocabulary.size].softmax(dim=-1).numpy()
            sums = np.cumsum(shares, dtype=np.float64)
            fed = [min(int(np.searchsorted(sums, source.random() * sums[-1])), len(shares) - 1)]
            size += len(self.lm.vocabulary.tokens[fed[0]])
            cache = out.past_key_values


class Table:
    """A tree that answers at once, whatever is asked: rows of a table, so that nothing is copied.

    Args:
        ids: Of the tokenizer.
        rows: Answers; as many may be asked for at once.
    """

    def __init__(self, ids: int, rows: int = 1024) -> None:
        self.size = 0
        self._logits = torch.randn(2 * rows, ids, generator=torch.Generator().manual_seed(0))

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree: see `TreeModel`."""
        assert len(parents) == len(tokens)
        first = self.size % (len(self._logits) // 2)
        self.size += len(tokens)
        return self._logits[first : first + len(tokens if asked is None else asked)]

    def keep(self, nodes: Iterable[int]) -> None:
        """Forget the rest: there is nothing."""


def overhead(lm: ByteLM, text: bytes, part: int = 500) -> dict[str, float]:
    """Milliseconds a head outside the model: at a text's beginning, and far behind it."""
    tree = Table(lm.vocabulary.size)
    alone = ByteLM(None, lm.vocabulary, stops=lm.stops, trees=lambda: tree)
    alone.score(text[:part], laws=True)  # warms up
    started = time.perf_counter()
    heads = alone.score(text[:part], laws=True).asked
    found = {"score": time.perf_counter() - started}
    found["score"] *= 1000 / heads
    state = alone.start()
    for at in range(0, len(text) // part * part, part):
        before, started = state.asked, time.perf_counter()
        for byte in text[at : at + part]:
            assert len(state.push(bytes([byte]))[-1].nats) == 256
        spent = (time.perf_counter() - started) * 1000 / (state.asked - before)
        found[f"stream at {at + part:,} bytes"] = spent
    return found


@contextmanager
def clocked(model: Any) -> Iterator[list[float]]:
    """Count the seconds within a model's forwards."""
    spent, forward = [0.0], model.forward

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return forward(*arguments, **options)
        finally:
            spent[0] += time.perf_counter() - started

    timed.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    model.forward = timed
    try:
        yield spent
    finally:
        del model.forward
