"""Other people's tools, each in its own virtual environment under build/peers."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "build" / "peers"
TORCH = "torch==2.13.0"
MERGEKIT = "mergekit==0.1.5"


def mergekit_python(folder: Path = PEERS / "mergekit") -> Path:
    """Python of an environment that holds mergekit, made on first use.

    torch comes first and by itself, so that the version compared with is the one of this package.
    """
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != MERGEKIT:
        print(f"Installing {MERGEKIT} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
        for package in (TORCH, MERGEKIT):
            command = [str(python), "-m", "pip", "install", "--quiet", package]
            subprocess.run(command, check=True, stdout=sys.stderr)
        stamp.write_text(MERGEKIT)
    return python
