"""How much memory a step takes at its peak, where the system says so."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path
from types import TracebackType

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class MemoryPeak:
    """A context that measures memory beyond what was held when it was entered.

    What was freed before and only kept for later use is given back first, so that what a step
    takes does not depend on what ran before it.

    Attributes:
        extra_bytes: The peak inside, on the device if that is CUDA; None where nobody knows.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.extra_bytes: int | None = None

    def __enter__(self) -> MemoryPeak:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # another system's C library
            ctypes.CDLL(None).malloc_trim(0)
        self._held = self._read("VmRSS", reset=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        peak = None if self._held is None else self._read("VmHWM", reset=False)
        if peak is not None and self._held is not None:
            self.extra_bytes = max(0, peak - self._held)

    def _read(self, field: str, *, reset: bool) -> int | None:
        if self.device.type == "cuda":
            if reset:
                torch.cuda.reset_peak_memory_stats(self.device)
            return int(torch.cuda.max_memory_allocated(self.device))
        try:
            if reset:
                CLEAR.write_text("5")  # the peak is counted from here
            lines = STATUS.read_text().splitlines()
        except OSError:
            return None
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields[field].split()[0]) * 1024 if field in fields else None
