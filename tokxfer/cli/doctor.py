"""`tokxfer doctor`: what a teacher and a student will make of one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import options
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.alignment.report import AlignmentFigures
    from tokxfer.workflows.doctor import DoctorReport
    from tokxfer.workflows.step_memory import StepMemory

SHOWN = 12  # tokens of a class that are named
PARTS = {
    "teacher_weights": "teacher's weights",
    "student_weights": "student's weights",
    "gradients": "gradients",
    "optimizer": "optimizer (AdamW)",
    "activations": "hidden states and what layers keep",
    "total": "in all, about",
    "logits": "logits of a batch, which are not held",
}


@click.command(
    "doctor",
    epilog="""\b
Examples:
  tokxfer doctor models/english-bytebpe models/english-spbpe
  tokxfer doctor models/english-bytebpe models/english-unigram --text models/held_out.jsonl
  tokxfer doctor models/english-bytebpe models/english-spbpe --batch-size 32 --json
""",
)
@click.argument("teacher")
@click.argument("student")
@click.option(
    "--text",
    multiple=True,
    metavar="FILE",
    help='Text to align: plain, or JSON lines with a "text" field, perhaps compressed. May be '
    "given several times.  [samples of many scripts]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read N documents of each file."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Rows of a micro-batch, for the estimate of memory.",
)
@click.option(
    "--max-length",
    type=click.IntRange(min=2),
    default=512,
    show_default=True,
    help="Tokens of a row of the student's, for the same.",
)
@click.option("--student-revision", help="Git revision of a student's hub name.")
@options.shared(
    options.device, options.revision, options.offline, options.as_json, options.quiet
)  # fmt: skip
def command(as_json: bool, quiet: bool, **arguments: Any) -> None:
    """What a teacher and a student will make of one another, before any training.

    TEACHER and STUDENT are model folders, folders with a tokenizer.json, that file itself, or names
    on the model hub. Nothing is loaded but tokenizers; memory is estimated where weights are there.
    """
    from tokxfer.workflows.doctor import doctor

    report = doctor(**arguments)
    if as_json:
        print_json(report.to_dict())
    else:
        print_sides(report)
        print_figures(report)
        print_histogram(report.figures)
        print_lacks(report)
        if report.memory is not None:
            print_memory(report.memory, report.available)
    for warning in report.warnings:
        note(f"Warning: {warning}", quiet=quiet)


def print_sides(report: DoctorReport) -> None:
    """Print both tokenizers: how they cut and change text, and their special tokens."""
    sides = (report.teacher, report.student)
    rows: list[tuple[object, ...]] = [
        ("tokenizer", *(side.name for side in sides)),
        ("family", *(side.family for side in sides)),
        ("ids", *(side.size for side in sides)),
        ("digits", *(side.digits for side in sides)),
        ("changes text", *(", ".join(side.changes) or "no" for side in sides)),
    ]
    roles = dict.fromkeys(role for side in sides for role in side.roles)
    rows += [(role, *(side.roles.get(role, "none") for side in sides)) for role in roles]
    rows += [
        ("chat markers", *(named(side.markers) for side in sides)),
        ("chat template", *(side.template for side in sides)),
        ("end of a turn", *(side.end_of_turn or "none" for side in sides)),
    ]
    print_table("Tokenizers", ["", "teacher", "student"], rows)


def print_figures(report: DoctorReport) -> None:
    """Print how both tokenizers line up."""
    found = report.figures
    click.echo()
    print_table(
        "On samples of many scripts" if report.sample else "On the text",
        ["", "teacher", "student"],
        [
            ("tokens", *found.tokens.values()),
            ("% of tokens that end a chunk", *(round(100 * s, 1) for s in found.shared.values())),
        ],
    )
    click.echo()
    print_table(
        "",
        ["", ""],
        [
            ("texts", found.texts),
            ("UTF-8 bytes", found.bytes),
            ("chunks", found.chunks),
            ("bytes a chunk", found.bytes / max(found.chunks, 1)),
            ("common boundaries found, %", round(100 * found.recall, 2)),
            ("chunks of other text on one side", found.unequal),
            ("chunks with an unknown token", found.unknown),
        ],
    )
    for one in found.examples:
        click.echo(f"text {one.number + 1}: {one.text!r} is {one.teacher!r} to {one.student!r}")


def print_histogram(found: AlignmentFigures) -> None:
    """Print how many chunks have how many bytes and tokens."""
    figures = found.to_dict()
    counts = [figures["sizes"], *(figures["lengths"][side] for side in ("teacher", "student"))]
    sizes = sorted({size for one in counts for size in one}, key=lambda s: (len(s), s))
    click.echo()
    print_table(
        "Chunks by length",
        ["length", "in bytes", "in teacher's tokens", "in student's tokens"],
        [(size, *(one.get(size, 0) for one in counts)) for size in sizes],
    )


def print_lacks(report: DoctorReport) -> None:
    """Print which tokens of digits and white space a side lacks."""
    click.echo()
    print_table(
        "Tokens that only one side has",
        ["", "teacher lacks", "", "student lacks", ""],
        [
            (name, *(cell for lacks in sides.values() for cell in (len(lacks), named(lacks, repr))))
            for name, sides in report.lacks.items()
        ],
    )


def print_memory(memory: StepMemory, available: int) -> None:
    """Print what a step will hold."""
    from tokxfer.checkpoints import format_size

    figures = memory.to_dict()
    click.echo()
    print_table(
        f"Memory of a step of {memory.rows} rows of {memory.tokens} tokens, estimated",
        ["", "bytes"],
        [
            *((told, format_size(figures[part])) for part, told in PARTS.items()),
            ("free now", format_size(available)),
        ],
    )


def named(tokens: tuple[str, ...], write: Any = str) -> str:
    """The first of some tokens, and how many more there are."""
    more = f" … {len(tokens) - SHOWN:,} more" if len(tokens) > SHOWN else ""
    return " ".join(write(token) for token in tokens[:SHOWN]) + more or "none"
