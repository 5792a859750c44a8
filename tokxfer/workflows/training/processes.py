"""The processes of parallel training, as torchrun and accelerate start them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def count() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this one writes files and reports; true of a process by itself."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(device: torch.device) -> torch.device:
    """The device of this process: its own one of several, if they are alike."""
    if count() == 1 or device.type != "cuda":
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def first_alone(device: torch.device) -> Iterator[bool]:
    """Let the first process do what it must do before the others go on.

    Args:
        device: Where training will be: a CPU has other ways to talk.

    Yields:
        Whether this is the first process.
    """
    if count() > 1:
        from accelerate import PartialState

        state = PartialState(cpu=device.type == "cpu")
        yield is_first()
        state.wait_for_everyone()
    else:
        yield True
