"""Other people's tools, each in its own virtual environment under build/peers."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "build" / "peers"
TORCH = "torch==2.13.0"
MERGEKIT = "mergekit==0.1.5"
GENLM = "genlm-bytes==0.2.0"
TRL = "trl==1.16.0"


def mergekit_python(folder: Path = PEERS / "mergekit") -> Path:
    """Python of an environment that holds mergekit, made on first use."""
    return python_with(MERGEKIT, folder)


def genlm_python(folder: Path = PEERS / "genlm") -> Path:
    """Python of an environment that holds genlm-bytes, made on first use."""
    return python_with(GENLM, folder)


def trl_python(folder: Path = PEERS / "trl") -> Path:
    """Python of an environment that holds TRL, made on first use."""
    return python_with(TRL, folder)


def python_with(wanted: str, folder: Path) -> Path:
    """Python of an environment in a folder that holds a package, given with its version.

    torch comes first and by itself, so that the version compared with is the one of this package.
    """
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {wanted} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
        for package in (TORCH, wanted):
            command = [str(python), "-m", "pip", "install", "--quiet", package]
            subprocess.run(command, check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return python
