"""A folder appears whole or not at all, whenever the writer is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokxfer.checkpoints import atomic_folder
from tokxfer.checkpoints.atomic import check_target, recover
from tokxfer.errors import FolderError

ROOT = Path(__file__).resolve().parents[2]


def fill(folder: Path, word: str) -> None:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text(word)
    (folder / "sub" / "b.txt").write_text(word)


def make(out: Path, word: str, *, force: bool = False) -> None:
    with atomic_folder(out, force=force) as folder:
        fill(folder, word)


def content(folder: Path) -> str | None:
    """The word that a complete folder holds; None if there is no complete folder."""
    try:
        words = {(folder / "a.txt").read_text(), (folder / "sub" / "b.txt").read_text()}
    except FileNotFoundError:
        return None
    return words.pop() if len(words) == 1 else None


def siblings(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if path.name.startswith("."))


def test_what_was_written_appears_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "out", "new")
    assert content(tmp_path / "out") == "new"
    assert siblings(tmp_path / "out") == []


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        assert folder.parent == tmp_path
        assert not (tmp_path / "out").exists()


def test_parents_are_made_and_removed_again_on_failure(tmp_path: Path) -> None:
    make(tmp_path / "a" / "b" / "out", "new")
    assert content(tmp_path / "a" / "b" / "out") == "new"
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "x" / "y" / "out"):
        raise ValueError("stop")
    assert not (tmp_path / "x").exists()


def test_an_existing_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    with pytest.raises(FolderError, match="exists already") as failure:
        make(tmp_path / "out", "new")
    assert "--force" in (failure.value.hint or "")
    assert content(tmp_path / "out") == "old"


def test_force_replaces_the_whole_folder(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "stale.txt").write_text("old")
    make(tmp_path / "out", "new", force=True)
    assert content(tmp_path / "out") == "new"
    assert not (tmp_path / "out" / "stale.txt").exists()
    assert siblings(tmp_path / "out") == []


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("force", [False, True])
def test_any_exception_leaves_what_was_there(
    tmp_path: Path, failure: type[BaseException], force: bool
) -> None:
    if force:
        make(tmp_path / "out", "old")

    def write() -> None:
        with atomic_folder(tmp_path / "out", force=force) as folder:
            fill(folder, "new")
            raise failure

    with pytest.raises(failure):
        write()
    assert content(tmp_path / "out") == ("old" if force else None)
    assert siblings(tmp_path / "out") == []


def test_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FolderError, match="is a file"), atomic_folder(tmp_path / "out", force=True):
        pass


def test_a_link_of_that_name_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "real", "old")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(FolderError, match="a link"), atomic_folder(tmp_path / "out", force=True):
        pass


@pytest.mark.parametrize(
    ("out", "sentence"),
    [("base", "is the input"), ("base/out", "lies inside"), (".", "contains the input")],
)
def test_the_output_may_not_overlap_an_input(tmp_path: Path, out: str, sentence: str) -> None:
    (tmp_path / "in" / "base").mkdir(parents=True)
    with pytest.raises(FolderError, match=sentence):
        check_target(tmp_path / "in" / out, force=True, forbidden=[tmp_path / "in" / "base"])


def test_an_input_is_recognised_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "base")
    with pytest.raises(FolderError, match="lies inside"):
        check_target(tmp_path / "link" / "out", force=True, forbidden=[tmp_path / "base"])


def test_a_path_that_ends_in_dots_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot be an output folder"):
        check_target(tmp_path / "x" / "..", force=True)


def test_the_root_is_no_output() -> None:
    with pytest.raises(FolderError, match="cannot be an output"):
        check_target(Path("/"), force=True)


def test_a_place_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(FolderError, match="cannot be written: Permission denied"):
        make(tmp_path / "out", "new")


def test_a_parent_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        make(tmp_path / "file" / "out", "new")


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is full"), atomic_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert siblings(tmp_path / "out") == []


def test_other_failures_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out"):
        (tmp_path.parent / "nowhere" / "x").read_text()


def test_a_folder_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="appeared"), atomic_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert siblings(tmp_path / "out") == []


def test_a_failing_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", "old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", "new", force=True)
    assert content(tmp_path / "out") == "old"
    assert siblings(tmp_path / "out") == []


def test_it_works_outside_the_main_thread(tmp_path: Path) -> None:
    thread = threading.Thread(target=make, args=(tmp_path / "out", "new"))
    thread.start()
    thread.join()
    assert content(tmp_path / "out") == "new"


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tokxfer.checkpoints import atomic
from tokxfer.checkpoints.atomic import atomic_folder

out, point = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it comes ignored

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

rename, count = Path.rename, 0
def counted(self, target):
    global count
    count += 1
    if point == f"before rename {count}":
        die()
    result = rename(self, target)
    if point == f"after rename {count}":
        die()
    return result

Path.rename = counted
if point == "before removal":
    atomic.shutil.rmtree = die
if point == "before sync":
    atomic._sync = die
with atomic_folder(out, force=True) as folder:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text("new")
    if point == "while writing":
        die()
    if point == "wait":
        print("waiting", flush=True)
        for _ in range(600):  # a pause could begin after the signal, and never end
            time.sleep(0.1)
    (folder / "sub" / "b.txt").write_text("new")
print("done")
"""


@contextlib.contextmanager
def run_until(point: str, out: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SCRIPT, str(out), point]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        if point == "wait":
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
        yield process


def kill_at(point: str, out: Path) -> None:
    with run_until(point, out) as process:
        assert process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("while writing", "old"),
        ("before sync", "old"),
        ("before rename 1", "old"),
        ("after rename 1", "old"),  # OUT is set aside, and put back by the next run
        ("before rename 2", "old"),
        ("after rename 2", "new"),
        ("before rename 3", "new"),
        ("after rename 3", "new"),
        ("before removal", "new"),
    ],
)
def test_after_a_kill_one_complete_copy_remains(
    tmp_path: Path, point: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    make(out, "old")
    kill_at(point, out)
    complete = [content(folder) for folder in tmp_path.iterdir()]
    assert "old" in complete or "new" in complete
    recover(out)
    assert content(out) == expected
    assert siblings(out) == []
    assert ("Restored" in caplog.text) == (point in ("after rename 1", "before rename 2"))
    make(out, "newer", force=True)
    assert content(out) == "newer"


def test_a_killed_first_run_leaves_a_place_for_the_next(tmp_path: Path) -> None:
    kill_at("while writing", tmp_path / "out")
    assert siblings(tmp_path / "out") != []
    make(tmp_path / "out", "new")
    assert content(tmp_path / "out") == "new"
    assert siblings(tmp_path / "out") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_termination_removes_what_was_half_written(
    tmp_path: Path, number: signal.Signals
) -> None:
    with run_until("wait", tmp_path / "out") as process:
        process.send_signal(number)
        assert process.wait(60) != 0
    assert list(tmp_path.iterdir()) == []


def test_a_hang_up_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with atomic_folder(tmp_path / "out") as folder:
            os.kill(os.getpid(), signal.SIGHUP)
            fill(folder, "new")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert content(tmp_path / "out") == "new"


def test_the_folder_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with run_until("wait", out) as process:
        recover(out)
        assert siblings(out) == [f".out.partial-{process.pid}"]
        process.kill()
        process.wait(60)
    recover(out)
    assert siblings(out) == []


def test_leftovers_of_an_equal_process_id_are_no_obstacle(tmp_path: Path) -> None:
    """In containers the same few process ids come back."""
    (tmp_path / f".out.partial-{os.getpid()}").mkdir()
    make(tmp_path / "out", "new")
    assert content(tmp_path / "out") == "new"


def test_folders_of_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".other.partial-1").mkdir()
    (tmp_path / ".out.partial-x").mkdir()
    make(tmp_path / "out", "new")
    assert siblings(tmp_path / "out") == [".other.partial-1", ".out.partial-x"]
