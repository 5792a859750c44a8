"""How much working memory a kernel may take, so that batch sizes follow what the machine has."""

from __future__ import annotations

from pathlib import Path

import torch

from tokxfer.errors import UsageError

_MEMINFO = Path("/proc/meminfo")
_UNKNOWN_FREE = 2 << 30  # where the system does not say what is free (macOS, MPS)


def working_memory(device: torch.device | str, budget: int | None = None) -> int:
    """Tell how many bytes of buffers a kernel on a device may allocate.

    Args:
        device: Where the buffers will live.
        budget: Bytes the caller allows, or None for half of what is free on the device now.

    Returns:
        Bytes, at least 1.

    Raises:
        UsageError: If the budget is not positive.
    """
    if budget is not None:
        if budget < 1:
            raise UsageError(f"a memory budget must be positive, not {budget} bytes")
        return int(budget)
    return max(1, _free_bytes(torch.device(device)) // 2)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not _MEMINFO.exists():
        return _UNKNOWN_FREE
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
