"""A training run in its folder of checkpoints: begun, or gone on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokxfer.errors import FolderError, TokxferError, UsageError
from tokxfer.workflows.training.processes import is_first

OPTIONS = "options.json"
FREE = {"save_every", "report_to", "device"}  # may differ when a run goes on


def folder_of(out: Path) -> Path:
    """Where a run keeps its checkpoints: beside the output."""
    return out.parent / f"{out.name}.checkpoints"


def prepare_folder(
    folder: Path, options: Mapping[str, Any], *, resume: bool, force: bool
) -> Path | None:
    """Make the folder of checkpoints, or find the last one in it.

    Args:
        folder: The folder.
        options: Everything that the run depends on, as JSON has it.
        resume: Whether to go on from the last checkpoint.
        force: Whether to begin anew although there are checkpoints.

    Returns:
        The checkpoint to go on from; None at the beginning.

    Raises:
        FolderError: There are checkpoints, and it was not said what is to become of them.
        UsageError: The run to go on with had other options.
    """
    file = folder / OPTIONS
    if resume and (not file.is_file() or last_checkpoint(folder) is None):
        raise UsageError(f"There is no run to resume in {folder}.", "Leave out --resume.")
    if resume:
        refuse_other_options(json.loads(file.read_text(encoding="utf-8")), options, folder)
        return last_checkpoint(folder)
    if folder.exists() and not file.is_file():
        raise FolderError(
            f"{folder}, where checkpoints would lie, is something else.",
            "Move it, or choose another name for the output.",
        )
    if folder.exists() and last_checkpoint(folder) is not None and not force:
        raise FolderError(
            f"{folder} holds a run that has not ended.",
            "Give --resume to go on with it, or --force to begin anew.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file.write_text(json.dumps(dict(options), ensure_ascii=False) + "\n", encoding="utf-8")
    return None


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint in a folder; None where there is none."""
    from transformers.trainer_utils import get_last_checkpoint

    last = get_last_checkpoint(str(folder))
    return None if last is None else Path(last)


def refuse_other_options(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with a run that had other options.

    Raises:
        UsageError: It had; the sentence names them.
    """
    now = json.loads(json.dumps(dict(now)))
    other = [
        name
        for name in sorted(before.keys() | now.keys())
        if name not in FREE and before.get(name) != now.get(name)
    ]
    if other:
        told = "; ".join(f"{name} was {before.get(name)}, not {now.get(name)}" for name in other)
        raise UsageError(
            f"The run in {folder} had other options: {told}.",
            "Give the same ones, or --force without --resume to begin anew.",
        )


@contextmanager
def logs_beside(out: Path) -> Iterator[None]:
    """Let TensorBoard's logs lie beside the output: checkpoints, where they would, are removed.

    A folder named by `TENSORBOARD_LOGGING_DIR` is left as it is.
    """
    name = "TENSORBOARD_LOGGING_DIR"
    given = os.environ.get(name)
    os.environ[name] = given or str(out.parent / f"{out.name}.logs")
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]


@contextmanager
def nothing_left_behind(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that failed before its first checkpoint."""
    try:
        yield
    except BaseException:
        if is_first() and last_checkpoint(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def out_of_memory_told(batch_size: int, max_length: int) -> Iterator[None]:
    """Turn a lack of memory into a sentence that says what to lower.

    Raises:
        TokxferError: There was not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as failure:
        lacking = isinstance(failure, MemoryError) or type(failure).__name__ == "OutOfMemoryError"
        if not lacking and "not enough memory" not in str(failure):
            raise
        raise TokxferError(
            f"Memory does not suffice for batches of {batch_size:,} rows of up to "
            f"{max_length:,} tokens.",
            "Lower --batch-size and raise --accumulate as much, lower --max-length, or train less "
            "with --lora.",
        ) from failure
