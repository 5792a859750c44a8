"""A folder that appears whole or not at all.

Everything is written to a hidden sibling `.<name>.partial-<pid>` and renamed when complete. When an
existing folder is replaced, it is first renamed to `.<name>.previous-<pid>`, then the new one takes
its place, then the old one is renamed to `.<name>.discarded-<pid>` and removed. At any kill, one
complete copy is there: OUT, or the previous copy, which the next run puts back.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokxfer.errors import FolderError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger("tokxfer")


@contextlib.contextmanager
def atomic_folder(
    out: Path | str, *, force: bool = False, forbidden: Iterable[Path] = ()
) -> Iterator[Path]:
    """Yield an empty temporary sibling of `out` that takes its place when the block succeeds.

    Args:
        out: The folder to make; parents are made as well.
        force: Replace an existing folder instead of refusing.
        forbidden: Inputs: `out` may not be one of them, inside one, or around one.

    Raises:
        FolderError: `out` exists, is a file, overlaps an input, or cannot be written.
    """
    out = Path(out).expanduser()
    recover(out.parent.resolve() / out.name)
    check_target(out, force=force, forbidden=forbidden)
    out = out.parent.resolve() / out.name
    made = _make_parents(out.parent)
    temporary = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        with _terminations_raise(), _disk_errors(out.parent):
            temporary.mkdir()
            with _locked(temporary):
                yield temporary
                _sync(temporary)
                _replace(temporary, out, force=force)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def check_target(out: Path | str, *, force: bool, forbidden: Iterable[Path] = ()) -> None:
    """Say at once whether `out` may be written; nothing is touched.

    Args:
        out: The folder to make.
        force: Whether an existing folder may be replaced.
        forbidden: Inputs: `out` may not be one of them, inside one, or around one.

    Raises:
        FolderError: `out` exists, is a file, or overlaps an input.
    """
    out = Path(out).expanduser()
    resolved = out.resolve()
    if not resolved.name or out.name == "..":
        raise FolderError(f"{out} cannot be an output folder.", "Give the path of a new folder.")
    for path in forbidden:
        other = Path(path).resolve()
        if resolved == other:
            raise FolderError(f"The output {out} is the input {path}.", "Choose another folder.")
        if other in resolved.parents:
            raise FolderError(
                f"The output {out} lies inside the input {path}.", "Choose a folder outside it."
            )
        if resolved in other.parents:
            raise FolderError(
                f"The output {out} contains the input {path}.", "Choose another folder."
            )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise FolderError(f"{out} is a file or a link.", "Choose another name for the output.")
    if out.exists() and not force:
        raise FolderError(f"{out} exists already.", "Give --force to replace it, or another name.")


def recover(out: Path) -> None:
    """Clean up after killed runs: restore a previous copy if `out` is gone, remove leftovers."""
    pattern = re.compile(re.escape(f".{out.name}.") + r"(partial|previous|discarded)-[0-9]+")
    if not out.parent.is_dir():
        return
    for entry in sorted(out.parent.iterdir()):
        match = pattern.fullmatch(entry.name)
        if match is None or not _abandoned(entry):
            continue
        if match[1] == "previous" and not out.exists():
            entry.rename(out)
            _log.warning("Restored %s, which an interrupted run had set aside.", out)
        else:
            shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Mark a folder as in use for as long as this process lives, whatever it is renamed to."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _abandoned(folder: Path) -> bool:
    """Whether no process holds the lock of a folder: the one that made it is dead.

    A process id says less: in containers the same few ids come back.
    """
    if fcntl is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder with its parents; return those that were made, innermost first."""
    made: list[Path] = []
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made += absent
    return made


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn failures of the disk that holds the output into one sentence."""
    try:
        yield
    except OSError as failure:
        where = os.fsdecode(failure.filename) if failure.filename else ""
        if failure.errno in _FULL:
            raise FolderError(
                f"The disk that holds {folder} is full.", "Free some space, or write elsewhere."
            ) from failure
        if where.startswith(str(folder)) or str(folder).startswith(where or "\0"):
            raise FolderError(
                f"{folder} cannot be written: {failure.strerror}.",
                "Check its permissions, or write elsewhere.",
            ) from failure
        raise


@contextlib.contextmanager
def _terminations_raise() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind like Ctrl-C, so that the temporary folder is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    taken = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _sync(folder: Path) -> None:
    """Ask the disk to hold every file before anything is renamed."""
    for path in [*folder.rglob("*"), folder]:
        _sync_entry(path)


def _replace(new: Path, out: Path, *, force: bool) -> None:
    """Put `new` in the place of `out`; at every moment one of the two is complete on the disk."""
    if not out.exists():
        new.rename(out)
        _sync_entry(out.parent)
        return
    if not force:
        raise FolderError(
            f"{out} appeared while its content was being made.", "Give --force to replace it."
        )
    previous = out.parent / f".{out.name}.previous-{os.getpid()}"
    discarded = out.parent / f".{out.name}.discarded-{os.getpid()}"
    with _locked(out):
        try:
            out.rename(previous)
            new.rename(out)
        except BaseException:
            if not out.exists():
                previous.rename(out)
            raise
        _sync_entry(out.parent)
        previous.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)


def _sync_entry(path: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, files need no such care
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
