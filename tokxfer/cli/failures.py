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

    `TOKXFER_DEBUG=1` prints the traceback first. Unknown exceptions keep their traceback: they are
    defects of this program, and are said to be.
    """
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else 1
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    if isinstance(failure, (KeyboardInterrupt, click.exceptions.Abort)):
        click.echo("Interrupted. Nothing was left half-written.", err=True)
        return INTERRUPTED
    if os.environ.get("TOKXFER_DEBUG") == "1":
        traceback.print_exception(failure)
    if isinstance(failure, click.ClickException):
        failure.show()
        return failure.exit_code
    sentence, hint, code = explain(failure)
    if code is None:
        traceback.print_exception(failure)
        sentence, hint, code = (
            f"Unexpected {type(failure).__name__}: {failure}",
            "This is a defect of tokxfer: please report it with the output of 'tokxfer env'.",
            1,
        )
    click.echo(f"Error: {sentence}", err=True)
    if hint:
        click.echo(f"Hint: {hint}", err=True)
    return code


def explain(failure: BaseException) -> tuple[str, str | None, int | None]:
    """The sentence, hint and exit code of a known failure; the code is None when it is unknown."""
    if isinstance(failure, UsageError):
        return failure.message, failure.hint, 2
    if isinstance(failure, TokxferError):
        return failure.message, failure.hint, 1
    if isinstance(failure, OSError) and failure.filename is not None:
        where = os.fsdecode(failure.filename)
        if failure.errno == errno.ENOENT:
            return f"{where} does not exist.", "Check the path.", 1
        if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"{where} may not be read or written.", "Check its permissions.", 1
        return f"{where}: {failure.strerror}.", None, 1
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        return "The disk is full.", "Free some space, or write elsewhere.", 1
    if isinstance(failure, MemoryError) or type(failure).__name__ == "OutOfMemoryError":
        return "Out of memory.", "Lower --memory-budget, or use --device cpu.", 1
    return str(failure), None, None
