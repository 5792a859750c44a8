"""One measurement of `omp.py`, in a process of its own so that its memory can be told apart.

    python omp_worker.py '{"who": "tokxfer", "folder": …, "k": 64, …}'

Runs under the Python of the tool it measures. Reads targets.npy and atoms.npy from the folder,
prints one JSON document and leaves the codes beside them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

WARM_UP = 16
Codes = tuple[Tensor, Tensor]


def main() -> None:
    task: dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    folder, device = Path(task["folder"]), torch.device(task["device"])
    targets, atoms = (
        torch.from_numpy(np.load(folder / f"{name}.npy")).to(device)
        for name in ("targets", "atoms")
    )
    with torch.no_grad():
        run, extra = RUNS[task["who"]](atoms, task)
        run(targets[:WARM_UP])
        with Measured(device) as measured:
            codes = run(targets)
    if codes is not None:
        support, coefficients = (part.cpu().numpy() for part in codes)
        np.savez(folder / f"{task['who']}.npz", support=support, coefficients=coefficients)
    print(json.dumps(measured.figures | extra))


def tokxfer(atoms: Tensor, task: dict[str, Any]) -> Any:
    """This package's OMP."""
    from tokxfer.sparse import coding, working_memory

    options = {"selection": task["selection"], "memory_budget": task["memory_budget"]}

    def run(part: Tensor) -> Codes:
        codes = coding.omp(part, atoms, task["k"], **options)
        return codes.support, codes.coefficients

    room = working_memory(atoms.device, task["memory_budget"])
    way, _ = coding.plan(task["count"], *atoms.shape, task["k"], atoms.device, room)
    return run, {"version": version("tokxfer"), "way": way.__name__}


def mergekit(atoms: Tensor, task: dict[str, Any]) -> Any:
    """mergekit's OMP, batch by batch as its own command calls it."""
    from mergekit.tokensurgeon import batch_omp

    def run(part: Tensor) -> Codes:
        batches = [batch_omp(batch, atoms, task["k"]) for batch in part.split(task["batch"])]
        return torch.cat([one[0] for one in batches]), torch.cat([one[1] for one in batches])

    return run, {"version": version("mergekit")}


def floor(atoms: Tensor, task: dict[str, Any]) -> Any:
    """The k float32 products of residuals and atoms alone, into memory that is already there."""
    scores = torch.empty(task["batch"], len(atoms), device=atoms.device)

    def run(part: Tensor) -> None:
        for batch in part.split(task["batch"]):
            for _ in range(task["k"]):
                torch.mm(batch, atoms.T, out=scores[: len(batch)])

    return run, {"version": torch.__version__}


RUNS: dict[str, Callable[[Tensor, dict[str, Any]], Any]] = {
    "tokxfer": tokxfer,
    "mergekit": mergekit,
    "floor": floor,
}


class Measured:
    """Wall and processor seconds, and memory beyond what was held at the start."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.figures: dict[str, float] = {}

    def __enter__(self) -> Measured:
        self._held = self._memory(reset=True)
        self._synchronize()
        self._cpu, self._wall = processor_seconds(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._synchronize()
        self.figures["wall_seconds"] = time.perf_counter() - self._wall
        self.figures["cpu_seconds"] = processor_seconds() - self._cpu
        self.figures["extra_bytes"] = max(0, self._memory(reset=False) - self._held)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _memory(self, *, reset: bool) -> int:
        """Bytes held now (reset: a new peak is counted from here), else the peak since then."""
        if self.device.type == "cuda":
            if reset:
                torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.max_memory_allocated(self.device)
        status = Path("/proc/self/status")
        if not status.exists():  # macOS counts in bytes, and since the start of the process
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmRSS" if reset else "VmHWM"].split()[0]) * 1024


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


if __name__ == "__main__":
    main()
