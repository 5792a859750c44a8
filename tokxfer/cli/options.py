"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:i]|mps",
    help="Where to compute.",
)
dtype = click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    help="Number format of the weights; auto keeps the model's own.",
)
compute_dtype = click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    help="Number format to compute in; auto takes float32 on a CPU, the model's own elsewhere.",
)
seed = click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seed of everything random.",
)
trust_remote_code = click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with a model. Off."
)
revision = click.option("--revision", default=None, help="Git revision of a hub name.")
donor_revision = click.option("--donor-revision", help="Git revision of a donor's hub name.")
encoder = click.option(
    "--encoder", help="tokenadapt: text encoder.  [all-MiniLM-L6-v2, extra encoder]"
)
twins = click.option(
    "--twins",
    type=click.Choice(["copy", "mean"]),
    default="copy",
    show_default=True,
    help="Rows of ids with the bytes of another id, such as <0x65>, that no text becomes.",
)
keep_digits = click.option(
    "--keep-digits",
    is_flag=True,
    help="Rewrite DONOR's tokenizer so that it cuts numbers as BASE's does.",
)
untie = click.option(
    "--untie/--keep-tied",
    default=None,
    help="Give the head rows of its own where BASE ties them to the input.  [only for bytes]",
)
trust_undertrained = click.option(
    "--trust-undertrained",
    is_flag=True,
    help="Learn from rows that training hardly touched, too.",
)
train_text = click.option(
    "--train-text",
    multiple=True,
    metavar="FILE",
    help="focus, wechsel: text to fit vectors on, plain or JSON lines; may be repeated.",
)
offline = click.option("--offline", is_flag=True, help="Never ask the model hub.")
force = click.option("--force", is_flag=True, help="Replace an existing output folder.")
dry_run = click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no remarks.")
verbose = click.option("-v", "--verbose", is_flag=True, help="More detail on stderr.")
memory_budget = click.option(
    "--memory-budget",
    default="auto",
    show_default=True,
    metavar="auto|SIZE",
    help="Working memory that batches may take, e.g. 2GB; auto takes half of what is free.",
)


def shared(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Apply several options, listed in help in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
