"""Options of training that several commands have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import options

if TYPE_CHECKING:
    from tokxfer.workflows.training.schedule import Schedule

eval_text = click.option(
    "--eval-text",
    multiple=True,
    metavar="FILE",
    help="Text to judge by; may be repeated.  [default: the last 5% of the texts, set apart]",
)
objective = click.option(
    "--objective", default="alm", show_default=True, help="The loss: see docs/objectives.md."
)
steps = click.option("--steps", default=300, show_default=True, help="Updates of the weights.")
rate = click.option(
    "--lr", "rate", type=float, help="Learning rate.  [default: 0.1 over the student's width]"
)
batch_size = click.option(
    "--batch-size", default=8, show_default=True, help="Rows of a micro-batch."
)
accumulate = click.option(
    "--accumulate", default=1, show_default=True, help="Micro-batches of a step."
)
max_length = click.option(
    "--max-length", default=512, show_default=True, help="The student's tokens a row."
)
lora = click.option("--lora", type=int, metavar="RANK", help="Train adapters, merged at the end.")
new_rows_only = click.option(
    "--new-rows-only", is_flag=True, help="Train the rows that a transplant made alone."
)
resume = click.option("--resume", is_flag=True, help="Go on from the last checkpoint of OUT.")
save_every = click.option(
    "--save-every", default=100, show_default=True, help="Steps between checkpoints."
)

SHARED = options.shared(
    eval_text, objective, steps, rate, batch_size, accumulate, max_length, lora, new_rows_only,
    save_every, resume,
)  # fmt: skip
SCHEDULE = (
    "steps", "rate", "batch_size", "accumulate", "max_length", "warmup", "weight_decay", "clip",
    "save_every", "judge_every", "patience", "seed",
)  # fmt: skip


def schedule_of(settings: dict[str, Any]) -> tuple[Schedule, Mapping[str, Any]]:
    """The schedule that options ask for, and the other options."""
    from tokxfer.workflows.training.schedule import Schedule

    named = {name: value for name, value in settings.items() if name in SCHEDULE}
    others = {name: value for name, value in settings.items() if name not in SCHEDULE}
    return Schedule(**named), others
