"""One measurement of `gold.py`, in a process of its own so that its memory can be told apart.

    python gold_worker.py '{"way": "gold", "vocab": 32000, "batch": 1, "tokens": 64, …}'

Runs under the Python of the tool it measures, of which this file imports nothing. Batches come from
the seed, so that all tools are asked the same. Prints one line of JSON; the gradient of the
student's hidden states goes into the file that the task names, if it names one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

CHUNKS = [(1, 1)] * 4 + [(1, 2), (3, 2)]  # tokens that student and teacher have of each
PERIOD = 8  # tokens of these chunks, on either side
SPREAD = 0.05  # of the weights
GAIN = 12.0  # what is added to the logit of the token that comes: it has about half of the mass
PATIENCE = 20.0  # seconds behind which a way is not run once more
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Side(NamedTuple):
    """What one model is asked; places are one before the text, its tokens, and its end.

    Attributes:
        hidden: [batch, places, dim].
        weight: [vocab, dim] the head.
        ids: [batch, places].
        ends: [batch, places] bytes of the text up to each token's end.
        chunk: [batch, places] chunk of each token, -1 for the first place and the last.
        final: [batch, chunks] place of each chunk's last token.
    """

    hidden: Tensor
    weight: Tensor
    ids: Tensor
    ends: Tensor
    chunk: Tensor
    final: Tensor


class Case(NamedTuple):
    """A batch, and [pairs] ids of student and teacher that stand for the same."""

    student: Side
    teacher: Side
    pairs: tuple[Tensor, Tensor]

    @property
    def leaves(self) -> tuple[Tensor, Tensor]:
        """What a gradient is wanted of."""
        return self.student.hidden, self.student.weight


class Ready(NamedTuple):
    """What a tool brings: its loss of a case, versions, and when logits and their gradient came."""

    loss: Callable[[Case], Tensor]
    versions: dict[str, str]
    marks: list[float]


def main() -> None:
    task: dict[str, Any] = json.loads(sys.argv[1])
    print(json.dumps(measure(task)))


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Processor seconds, memory beyond the gradients, loss and versions of a way."""
    torch.set_num_threads(task["threads"])
    tool: Any = importlib.import_module(task["module"])
    whole = case(task)
    ready: Ready = tool.ready(whole, task)
    ready.loss(case(task | {"batch": 1, "tokens": PERIOD}, whole)).backward()
    seconds, heads, extra = [], [], []
    watch = Watch(task["limit"])
    while len(seconds) < task["times"] and sum(seconds) < PATIENCE:
        for leaf in whole.leaves:
            leaf.grad = None
        ready.marks.clear()
        held = watch.begin()
        started = time.process_time()
        loss = ready.loss(whole)
        loss.backward()
        ended = time.process_time()
        seconds.append(ended - started)
        if ready.marks:
            behind, before = ready.marks
            heads.append(behind - started + ended - before)
        gradients = sum(leaf.nbytes for leaf in whole.leaves)
        extra.append(max(0, memory("VmHWM") - held - gradients))
    watch.stop()
    if task.get("gradient"):
        assert whole.student.hidden.grad is not None
        np.save(task["gradient"], whole.student.hidden.grad.numpy())
    return {
        "seconds": min(seconds),
        "head_seconds": min(heads) if heads else None,
        "extra_bytes": extra[0],  # what a run leaves to the next is not counted twice
        "loss": float(loss.detach()),
        "norms": [float(leaf.grad.norm()) for leaf in whole.leaves if leaf.grad is not None],
        "versions": ready.versions | {"torch": torch.__version__},
        **(tool.exactness(whole, task) if task.get("exactness") else {}),
    }


def case(task: dict[str, Any], like: Case | None = None) -> Case:
    """The batch of a task; heads and pairs are another's if one is given."""
    random = torch.Generator().manual_seed(task["seed"])
    size, dim = task["vocab"], task["dim"]
    if like is None:
        weights = [torch.randn(size, dim, generator=random).mul_(SPREAD) for _ in range(2)]
        count = round(task["matched"] * size)
        orders = [torch.randperm(size, generator=random)[:count] for _ in range(2)]
        pairs = orders[0], orders[1]
        weights[0].requires_grad_()
    else:
        weights, pairs = [like.student.weight, like.teacher.weight], like.pairs
    kinds = CHUNKS * (task["tokens"] // PERIOD)
    texts = [
        [kinds[at] for at in torch.randperm(len(kinds), generator=random)]
        for _ in range(task["batch"])
    ]
    student, teacher = (side(texts, which, weights[which], random) for which in range(2))
    student.hidden.requires_grad_()
    return Case(student, teacher, pairs)


def side(
    texts: list[list[tuple[int, int]]], which: int, weight: Tensor, random: torch.Generator
) -> Side:
    """One model's side of texts, given by the tokens that both have of each chunk."""
    rows: tuple[list[list[int]], ...] = ([], [], [])
    for text in texts:
        ends, chunk, final = [0], [-1], list[int]()
        for number, tokens in enumerate(text):
            start, count = ends[-1], tokens[which]
            # inner ends of the two sides are odd and even, so that they never meet
            ends += [start + 2 * token + 2 - which for token in range(count - 1)]
            ends.append(start + 2 * max(tokens) + 1)
            chunk += [number] * count
            final.append(len(ends) - 1)
        ends.append(ends[-1])
        chunk.append(-1)
        for into, row in zip(rows, (ends, chunk, final), strict=True):
            into.append(row)
    ends, chunk, final = (torch.tensor(each) for each in rows)
    ids = torch.randint(len(weight), ends.shape, generator=random)
    hidden = torch.randn(*ends.shape, weight.shape[1], generator=random)
    coming = weight.detach()[ids[:, 1:]]
    hidden[:, :-1] += GAIN * coming / coming.square().sum(-1, keepdim=True)
    return Side(hidden, weight, ids, ends, chunk.int(), final)


class Watch:
    """Ends the process when a run takes too long, and says what it held till then.

    Args:
        limit: Processor seconds, or None for no end.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit, self.until, self.held = limit, float("inf"), 0
        if limit is not None:
            threading.Thread(target=self._look, daemon=True).start()

    def begin(self) -> int:
        """Start to count memory and time; bytes that are held already."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # another system's C library
            ctypes.CDLL(None).malloc_trim(0)
        self.held = memory("VmRSS")
        if STATUS.exists():
            CLEAR.write_text("5")  # the peak is counted from here
        if self.limit is not None:
            self.until = time.process_time() + self.limit
        return self.held

    def stop(self) -> None:
        """No run is watched any more."""
        self.until = float("inf")

    def _look(self) -> None:
        while time.process_time() < self.until:
            time.sleep(0.2)
        found = {"over": self.limit, "extra_bytes": memory("VmHWM") - self.held}
        print(json.dumps(found), flush=True)
        os._exit(0)


def memory(field: str) -> int:
    """Bytes that this process holds (VmRSS), or has held at most (VmHWM)."""
    if not STATUS.exists():  # macOS counts in bytes, and since the start of the process
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(fields[field].split()[0]) * 1024


if __name__ == "__main__":
    main()
