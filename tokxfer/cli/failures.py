"""One table from exceptions to a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import traceback

import click

from tokxfer.errors import TokxferError, UsageError

INTERRUPTED = 130


def report_failure(failure: BaseException) -> int:
    """Print one sentence for a failure on stderr and return the exit code.

    `TOKXFER_DEBUG=1` prints the traceback first. Unknown exceptions always have theirs printed:
    they are defects of this program, and are said to be.
    """
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else int(failure.code is not None)
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    sentence, hint, code = explain(failure)
    if code is None or os.environ.get("TOKXFER_DEBUG") == "1":
        traceback.print_exception(failure)
    if code == INTERRUPTED:
        click.echo(sentence, err=True)
        return INTERRUPTED
    if isinstance(failure, click.ClickException):
        failure.show()
        return failure.exit_code
    click.echo(f"Error: {sentence}", err=True)
    if hint:
        click.echo(f"Hint: {hint}", err=True)
    return 1 if code is None else code


def explain(failure: BaseException) -> tuple[str, str | None, int | None]:
    """The sentence, hint and exit code of a failure; the code is None when it is a defect."""
    if isinstance(failure, (KeyboardInterrupt, click.exceptions.Abort)):
        return "Interrupted. Nothing was left half-written.", None, INTERRUPTED
    if isinstance(failure, click.ClickException):
        return failure.format_message(), None, failure.exit_code
    if isinstance(failure, UsageError):
        return failure.message, failure.hint, 2
    if isinstance(failure, TokxferError):
        return failure.message, failure.hint, 1
    if isinstance(failure, OSError) and failure.errno is not None:
        return explain_system(failure)
    if out_of_memory(failure):
        return "Out of memory.", "Lower --memory-budget, or use --device cpu.", 1
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        package = failure.name.partition(".")[0]
        if package != "tokxfer":
            return f"{package} is not installed.", "pip install 'tokxfer[all]'", 1
    return (
        f"Unexpected {type(failure).__name__}: {failure}",
        "This is a defect of tokxfer: please report it with the output of 'tokxfer env'.",
        None,
    )


def explain_system(failure: OSError) -> tuple[str, str | None, int]:
    """The sentence, hint and exit code of what the operating system refused."""
    where = os.fsdecode(failure.filename) if failure.filename is not None else None
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        full = "The disk is full." if where is None else f"{where}: the disk is full."
        return full, "Free some space, or write elsewhere.", 1
    if where is None:
        return f"The system says: {failure.strerror or failure}.", None, 1
    if failure.errno == errno.ENOENT:
        return f"{where} does not exist.", "Check the path.", 1
    if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} may not be read or written.", "Check its permissions.", 1
    return f"{where}: {failure.strerror}.", None, 1


def out_of_memory(failure: BaseException) -> bool:
    """Whether Python, a GPU or torch's allocator on the CPU ran out of memory."""
    return (
        isinstance(failure, MemoryError)
        or type(failure).__name__ == "OutOfMemoryError"
        or (isinstance(failure, RuntimeError) and "can't allocate memory" in str(failure))
    )
