"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re
from pathlib import Path

from tokxfer.errors import UsageError

_UNITS = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip


def parse_size(text: str | int) -> int:
    """The number of bytes that "5GB", "1.5 GiB", "500MB" or 1024 stand for.

    KB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB are powers of 1024.

    Raises:
        UsageError: If it is no size, or not above zero.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"{text!r} is not a size.", "Write for example 500MB, 5GB or 2GiB.")
    size = int(float(match[1]) * unit)
    if size < 1:
        raise UsageError(f"A size must be above zero, not {text}.", "Write for example 500MB.")
    return size


def format_size(size: float) -> str:
    """A number of bytes for people: "512 B", "1.5 MB", "14 GB"; the unit is a power of 1000."""
    for unit in ("B", "KB", "MB", "GB"):
        shown = f"{size:.3g}"
        if float(shown) < 1000:
            return f"{shown} {unit}"
        size /= 1000
    return f"{size:,.3g} TB" if size < 999.5 else f"{size:,.0f} TB"


def available_memory() -> int:
    """Bytes of main memory that programs may still take; 4 GB where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 4 * 10**9
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 4 * 10**9
