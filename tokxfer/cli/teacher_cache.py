"""`tokxfer teacher-cache`: ask a teacher about texts once."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import options
from tokxfer.cli.output import print_json


@click.command(
    epilog="""\b
Examples:
  tokxfer teacher-cache models/english-bytebpe cache --data models/held_out.jsonl
  tokxfer teacher-cache teacher cache --data texts/ --student student --precision float32
"""
)
@click.argument("teacher")
@click.argument("out", type=click.Path())
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="PATH",
    help="Texts and chats, as of 'tokxfer distill'; may be repeated.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read so many examples of each file.")
@click.option("--student", help="Model or tokenizer that is to learn, for learned boundaries.")
@click.option(
    "--boundaries",
    type=click.Choice(["learned", "whitespace", "none"]),
    help="What may follow a chunk.  [default: learned with --student, else whitespace]",
)
@click.option(
    "--precision",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="4 or 8 bytes a token on disk.",
)
@click.option("--batch-size", default=8, show_default=True, help="Windows that are read at once.")
@options.shared(
    options.device,
    options.compute_dtype,
    options.revision,
    options.offline,
    options.trust_remote_code,
    options.force,
    options.as_json,
    options.quiet,
)
def command(teacher: str, out: str, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Ask TEACHER about texts, and keep two numbers a token in OUT.

    'tokxfer distill' takes OUT for its teacher: students then learn without the teacher, or
    elsewhere.
    """
    from tokxfer.checkpoints import format_size
    from tokxfer.workflows.teacher_cache import teacher_cache

    report = teacher_cache(teacher, out, progress=not quiet, **settings)
    if as_json:
        print_json(report.to_dict())
        return
    size = format_size(report.bytes_on_disk)
    click.echo(
        f"{report.teacher} was asked about {report.tokens:,} tokens of {report.documents:,} "
        f"documents in {report.seconds:,.1f} s; {size} in {report.out}."
    )
