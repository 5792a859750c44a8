"""Devices and number formats, from the words of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tokxfer.errors import UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")


def pick_device(name: str = "auto") -> torch.device:
    """The torch device for "auto", "cpu", "cuda", "cuda:1" or "mps".

    "auto" takes the first CUDA device, else the CPU (MPS lacks some of the operations used, so it
    must be asked for).

    Raises:
        UsageError: If the word is unknown or this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError("There is no MPS device on this machine.", "Use --device cpu.")
        return torch.device("mps")
    match = re.fullmatch(r"cuda(?::([0-9]+))?", name)
    if not match:
        raise UsageError(
            f"{name!r} is not a device.", "Use --device auto, cpu, cuda, cuda:1 (and so on) or mps."
        )
    if not torch.cuda.is_available():
        raise UsageError(
            f"{name} was asked for, but there is no CUDA device on this machine.",
            "Use --device cpu, or install a CUDA build of torch.",
        )
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if index >= count:
        raise UsageError(
            f"cuda:{index} was asked for, but there are only {count} CUDA device(s).",
            f"Use cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}.",
        )
    return torch.device("cuda", index)


def pick_dtype(name: str = "auto") -> torch.dtype | None:
    """The torch dtype for "float32", "float16" or "bfloat16"; None for "auto" (as stored).

    Raises:
        UsageError: If the word is unknown.
    """
    import torch

    if name == "auto":
        return None
    if name not in DTYPES:
        raise UsageError(f"{name!r} is not a dtype.", f"Use auto, {', '.join(DTYPES)}.")
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype
