"""The nine points of a sound model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One point of a sound model folder: its name, whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str


def validate_folder(path: str | Path) -> tuple[Check, ...]:
    """Check a model folder; filled in by the checks to come."""
    return ()
