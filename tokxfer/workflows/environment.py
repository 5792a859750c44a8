"""`environment`: versions and devices, for a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NEEDED = (
    "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy",
    "scikit-learn", "click", "rich", "tqdm", "jinja2", "jaxtyping",
)  # fmt: skip
OPTIONAL = ("matplotlib", "accelerate", "sentence-transformers", "gensim", "zstandard")
MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Device:
    """A device that models can run on.

    Args:
        name: As `--device` takes it.
        description: What it is.
        memory: Bytes of its own memory, None where it shares the machine's.
    """

    name: str
    description: str
    memory: int | None


@dataclass(frozen=True)
class EnvironmentReport:
    """What a bug report should say about a machine.

    Args:
        tokxfer: Version of this package.
        python: Version and implementation.
        platform: Operating system and processor.
        packages: Versions by package, None where it is not installed.
        optional: Those of `packages` that can be missing.
        cpus: Processors that this process may use.
        threads: Threads that torch uses, None without torch.
        memory: Bytes of the machine's memory, None where nobody says.
        memory_free: Bytes of it that are available.
        devices: Devices beside the CPU.
        problem: Why torch could not be loaded, or None.
    """

    tokxfer: str
    python: str
    platform: str
    packages: Mapping[str, str | None]
    optional: tuple[str, ...]
    cpus: int
    threads: int | None
    memory: int | None
    memory_free: int | None
    devices: tuple[Device, ...]
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as `--json` prints it."""
        return {**asdict(self), "packages": dict(self.packages), "optional": list(self.optional)}


def environment() -> EnvironmentReport:
    """Describe this machine and what is installed on it; nothing missing is an error.

    Example:
        >>> import tokxfer as tx
        >>> tx.environment().packages["click"] is not None
        True
    """
    import tokxfer

    threads, devices, problem = torch_devices()
    total, free = memory()
    return EnvironmentReport(
        tokxfer=tokxfer.__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        platform=f"{platform.platform()} {platform.machine()}",
        packages={name: version(name) for name in (*NEEDED, *OPTIONAL)},
        optional=OPTIONAL,
        cpus=usable_cpus(),
        threads=threads,
        memory=total,
        memory_free=free,
        devices=devices,
        problem=problem,
    )


def version(package: str) -> str | None:
    """The installed version of a package, found without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str | None]:
    """The versions that a result depends on, by package."""
    return {name: version(name) for name in ("tokxfer", "torch", "transformers", "tokenizers")}


def usable_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> tuple[int | None, int | None]:
    """Bytes of memory, and of memory available, where the system tells."""
    try:
        lines = MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return None, None
    fields = dict(line.split(":", 1) for line in lines)
    total, free = (fields.get(name) for name in ("MemTotal", "MemAvailable"))
    return kibibytes(total), kibibytes(free)


def kibibytes(field: str | None) -> int | None:
    """The bytes that a field such as "16384 kB" stands for."""
    return None if field is None else int(field.split()[0]) * 1024


def torch_devices() -> tuple[int | None, tuple[Device, ...], str | None]:
    """Torch's threads and accelerators, and why it could not be loaded."""
    try:
        import torch
    except (ImportError, OSError) as failure:
        return None, (), f"torch cannot be loaded: {failure}"
    devices = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        description = f"{facts.name}, compute capability {facts.major}.{facts.minor}"
        devices.append(Device(f"cuda:{index}", description, facts.total_memory))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", None))
    return torch.get_num_threads(), tuple(devices), None
