"""`tokxfer distill`: a student trained on what a teacher says."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import options, training
from tokxfer.cli.output import note, print_json, print_table


@click.command(
    epilog="""\b
Examples:
  tokxfer distill models/english-bytebpe models/english-spbpe out --data models/held_out.jsonl
  tokxfer distill teacher student out --data texts/ --objective alm+sft --steps 1000
  tokxfer distill teacher student out --data texts/ --steps 1000 --resume
"""
)
@click.argument("teacher")
@click.argument("student")
@click.argument("out", type=click.Path())
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="PATH",
    help="What to train on: plain text, JSON lines with `text` or chat `messages`, folders of "
    "these; may be repeated.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read so many examples of each file.")
@training.SHARED
@click.option("--packing/--no-packing", default=True, help="Several documents a row, or one.")
@click.option("--warmup", default=0.1, show_default=True, help="Share of steps in which lr rises.")
@click.option("--weight-decay", default=0.0, show_default=True, help="Of AdamW.")
@click.option("--clip", default=1.0, show_default=True, help="Norm that gradients are cut to.")
@click.option(
    "--balance",
    type=click.Choice(["auto", "gradmag", "gradnorm", "fixed"]),
    default="auto",
    show_default=True,
    help="How several losses are weighed; auto leaves it to the objective.",
)
@click.option("--judge-every", default=0, show_default=True, help="Steps between evaluations.")
@click.option("--patience", type=int, help="Stop after so many evaluations without a better one.")
@click.option("--report-to", default="none", show_default=True, help="tensorboard, wandb, …")
@click.option("--student-revision", help="Git revision of a student's hub name.")
@options.shared(
    options.device,
    options.compute_dtype,
    options.seed,
    options.revision,
    options.offline,
    options.trust_remote_code,
    options.force,
    options.as_json,
    options.quiet,
)
def command(
    teacher: str, student: str, out: str, as_json: bool, quiet: bool, **settings: Any
) -> None:
    """Train STUDENT on what TEACHER says of text, and write it to OUT.

    The two may have different tokenizers: what they say is compared where tokens of both end at
    the same byte. Checkpoints lie beside OUT until it is written. On several devices start it with
    'accelerate launch -m tokxfer distill …'.
    """
    from tokxfer.workflows.distill import distill
    from tokxfer.workflows.training.processes import is_first

    told = training.settled(settings)
    report = distill(teacher, student, out, progress=not quiet and is_first(), **told).to_dict()
    if not is_first():
        return
    if as_json:
        print_json(report)
    else:
        print_summary(report)
    for warning in report["warnings"]:
        note(f"Warning: {warning}", quiet=quiet)


def print_summary(report: dict[str, Any]) -> None:
    """What the training gained."""
    print_table(
        f"Distilled by {report['objective']}",
        ["", "bits/byte", "±", "gap to the teacher, bits/byte"],
        [
            (name, report[key]["bits_per_byte"], report[key]["stderr"], report[key]["gap"])
            for name, key in (("teacher", "teacher"), ("before", "before"), ("after", "after"))
            if report[key] is not None
        ],
    )
    data = report["data"]
    click.echo(
        f"\n{report['steps']:,} steps in {report['seconds']:,.1f} s on {data['rows']:,} rows of "
        f"{data['documents']:,} documents. {report['out']} is written."
    )
