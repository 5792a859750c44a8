from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import click
import pytest
import torch

import tokxfer
from tokxfer.cli import bytes as byte_group
from tokxfer.cli import lazy
from tokxfer.cli.failures import explain
from tokxfer.cli.main import COMMANDS, main
from tokxfer.cli.output import format_cell, note, print_json, print_table
from tokxfer.errors import FolderError, TokxferError, UsageError

Run = Callable[..., tuple[int, str, str]]
BYTES = [("bytes", name) for name in byte_group.COMMANDS]
VERBS = [*((name,) for name in COMMANDS if name != "bytes"), *BYTES]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; gives exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[..., tuple[int, str, str]]:
    """Run a command that fails with the given exception."""

    def call(failure: BaseException) -> tuple[int, str, str]:
        @click.command()
        def command() -> None:
            raise failure

        module = SimpleNamespace(command=command)
        monkeypatch.setattr(lazy.importlib, "import_module", lambda name: module)
        return run("env")

    monkeypatch.delenv("TOKXFER_DEBUG", raising=False)
    return call


# ---- the group


def in_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_takes_under_150_milliseconds() -> None:
    """Of processor time, which is the wall time on an idle core; other tests use the cores too."""
    command = [sys.executable, "-c", "from tokxfer.cli.main import main; main(['--help'])"]
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        spent = after.children_user + after.children_system
        times.append(spent - before.children_user - before.children_system)
    assert min(times) < 0.15


@pytest.mark.parametrize(
    "code",
    [
        "import tokxfer",
        "from tokxfer.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from tokxfer.cli.main import main\ntry: main(['evaluate', '-h'])\nexcept SystemExit: pass",
        "from tokxfer.cli.main import main\ntry: main(['bytes', '-h'])\nexcept SystemExit: pass",
        "from tokxfer.cli.main import main\n"
        "try: main(['bytes', 'score', '-h'])\nexcept SystemExit: pass",
    ],
)
def test_neither_import_nor_help_loads_torch_or_transformers(code: str) -> None:
    check = "import sys; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    assert in_fresh_process(f"{code}\n{check}") == "[]"


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version") == (0, f"tokxfer, version {tokxfer.__version__}\n", "")


def test_help_lists_every_command_with_its_summary(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    flat = " ".join(out.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in flat


def test_a_group_lists_its_verbs_with_their_summaries(run: Run) -> None:
    flat = " ".join(run("bytes", "--help")[1].split())
    for name, summary in byte_group.COMMANDS.items():
        assert f"{name} {summary}" in flat


def test_help_ends_with_examples(run: Run) -> None:
    out = run("-h")[1]
    assert all(line.startswith("    tokxfer ") for line in out.split("Examples:\n")[1].splitlines())


@pytest.mark.parametrize("words", [("bytes",), *VERBS], ids=" ".join)
def test_every_command_has_help_with_examples_to_paste(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words, "--help")
    assert (code, err) == (0, "")
    options, examples = out.split("Examples:\n")
    assert "-h, --help" in options
    assert all(line.startswith(f"    tokxfer {' '.join(words)}") for line in examples.splitlines())


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_command_speaks_json(run: Run, words: tuple[str, ...]) -> None:
    assert "--json" in run(*words, "--help")[1]


def test_an_unknown_command_exits_with_2(run: Run) -> None:
    code, out, err = run("transplnt")
    assert (code, out) == (2, "")
    assert "No such command 'transplnt'" in err


def test_an_unknown_option_exits_with_2(run: Run) -> None:
    code, out, err = run("env", "--jsn")
    assert (code, out) == (2, "")
    assert "No such option" in err


def test_no_command_at_all_shows_help(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "Usage: tokxfer" in out + err


def test_commands_are_only_imported_to_run() -> None:
    code = (
        "import sys\nfrom tokxfer.cli.main import group\n"
        "print(len(group.list_commands(None)), 'tokxfer.cli.evaluate' in sys.modules)"
    )
    assert in_fresh_process(code) == f"{len(COMMANDS)} False"


# ---- failures

FAILURES = [
    (TokxferError("It broke."), "It broke.", 1),
    (FolderError("x has no config.json."), "x has no config.json.", 1),
    (UsageError("k must be above zero."), "k must be above zero.", 2),
    (FileNotFoundError(errno.ENOENT, "No such file", "a/b"), "a/b does not exist.", 1),
    (PermissionError(errno.EACCES, "no", "a/b"), "a/b may not be read or written.", 1),
    (OSError(errno.EROFS, "read-only", "a/b"), "a/b may not be read or written.", 1),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "a/b"), "a/b: Is a directory.", 1),
    (OSError(errno.ENOSPC, "No space left"), "The disk is full.", 1),
    (OSError(errno.ENOSPC, "No space left", "a/b"), "a/b: the disk is full.", 1),
    (OSError(errno.EIO, "Input/output error"), "The system says: Input/output error.", 1),
    (MemoryError(), "Out of memory.", 1),
    (torch.OutOfMemoryError("CUDA out of memory"), "Out of memory.", 1),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Out of memory.", 1),
    (ModuleNotFoundError("none", name="matplotlib.pyplot"), "matplotlib is not installed.", 1),
]


@pytest.mark.parametrize(("failure", "message", "code"), FAILURES, ids=lambda value: str(value))
def test_a_known_failure_is_one_sentence_and_an_exit_code(
    failing: Run, failure: Exception, message: str, code: int
) -> None:
    found, out, err = failing(failure)
    assert (found, out) == (code, "")
    assert err.splitlines()[0] == f"Error: {message}"
    assert "Traceback" not in err
    assert all(line.startswith("Hint: ") for line in err.splitlines()[1:])


def test_a_hint_follows_the_sentence(failing: Run) -> None:
    assert failing(TokxferError("It broke.", "Mend it."))[2] == "Error: It broke.\nHint: Mend it.\n"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), click.Abort()], ids=repr)
def test_an_interruption_exits_with_130(failing: Run, failure: BaseException) -> None:
    code, out, err = failing(failure)
    assert (code, out) == (130, "")
    assert err.strip() == "Interrupted. Nothing was left half-written."


@pytest.mark.parametrize(
    "failure", [ValueError("oops"), ModuleNotFoundError("gone", name="tokxfer.nothing")], ids=repr
)
def test_a_defect_keeps_its_traceback_and_says_so(failing: Run, failure: Exception) -> None:
    code, out, err = failing(failure)
    assert (code, out) == (1, "")
    assert err.count("Traceback") == 1
    assert f"Error: Unexpected {type(failure).__name__}: {failure}" in err
    assert "tokxfer env" in err


@pytest.mark.parametrize("failure", [TokxferError("It broke."), ValueError("oops")], ids=repr)
def test_debugging_shows_the_traceback_once(
    failing: Run, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKXFER_DEBUG", "1")
    code, _, err = failing(failure)
    assert code == 1
    assert err.count("Traceback (most recent call last)") == 1
    assert "Error: " in err


@pytest.mark.parametrize(
    ("given", "code"), [(SystemExit(3), 3), (SystemExit(None), 0), (SystemExit("no"), 1)], ids=repr
)
def test_an_exit_keeps_its_code(failing: Run, given: SystemExit, code: int) -> None:
    assert failing(given)[0] == code


def test_a_command_may_choose_its_exit_code(failing: Run) -> None:
    assert failing(click.exceptions.Exit(1))[0] == 1


def test_a_usage_error_of_click_names_the_command(failing: Run) -> None:
    code, _, err = failing(click.UsageError("Two of a kind."))
    assert code == 2
    assert "Two of a kind." in err
    assert explain(click.UsageError("Two of a kind."))[0] == "Two of a kind."


@pytest.mark.skipif(os.name != "posix", reason="signals are sent by their POSIX name")
def test_an_interrupted_process_exits_with_130() -> None:
    code = (
        "import os, signal, click\nfrom types import SimpleNamespace\n"
        "from tokxfer.cli import lazy, main\n"
        "command = click.Command('env', callback=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "lazy.importlib.import_module = lambda name: SimpleNamespace(command=command)\n"
        "main.main(['env'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


# ---- the output sink


def test_json_starts_with_the_schema_version(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"größe": None})
    assert capsys.readouterr().out == '{"schema_version": 1, "größe": null}\n'


def test_json_never_holds_what_json_cannot() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"x": float("nan")})


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"), (True, "yes"), (False, "no"), (1234567, "1,234,567"), (0.123456, "0.1235"),
        (12345.6, "12,346"), ("a/b", "a/b"),
    ],
)  # fmt: skip
def test_cells_are_short(cell: object, text: str) -> None:
    assert format_cell(cell) == text


def test_numbers_are_right_aligned_even_with_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["name", "count"], [["a", 1000], ["bbb", None], ["c", 7]])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["name  count", "a     1,000", "bbb       -", "c         7"]


def test_words_and_yes_or_no_are_left_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Title", ["ok", "what"], [[True, "[bold]"], [False, "long words"]])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["Title", "ok   what", "yes  [bold]", "no   long words"]


def test_long_lines_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["path"], [["x" * 150]])
    assert "x" * 150 in capsys.readouterr().out


def test_notes_go_to_stderr_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    note("heard")
    note("unheard", quiet=True)
    assert capsys.readouterr() == ("", "heard\n")


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "tokxfer", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"tokxfer, version {tokxfer.__version__}"
