"""Options of training that several commands have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tokxfer.cli import options

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
tau = click.option("--tau", type=float, help="alm: how much small probabilities are raised.  [5]")
gamma = click.option(
    "--gamma", type=float, help="alm: chunks are joined below this mass of boundaries.  [0.1]"
)
boundaries = click.option(
    "--boundaries",
    type=click.Choice(["learned", "whitespace", "none"]),
    help="alm: what may follow a chunk.  [learned]",
)
divergence = click.option(
    "--divergence", type=click.Choice(["kl", "reverse_kl", "tv"]), help="alm: of outcomes.  [kl]"
)
byte_share = click.option(
    "--byte-share", type=float, help="byte-kl: part of the bytes at which models are compared.  [1]"
)
loss_temperature = click.option(
    "--loss-temperature", type=float, help="mined, same-vocabulary losses: divides the logits."
)
lora = click.option(
    "--lora",
    type=int,
    metavar="RANK",
    help="Train adapters, merged at the end; of a transplant its new rows, too.",
)
new_rows_only = click.option(
    "--new-rows-only", is_flag=True, help="Train the rows that a transplant made alone."
)
resume = click.option("--resume", is_flag=True, help="Go on from the last checkpoint of OUT.")
save_every = click.option(
    "--save-every", default=100, show_default=True, help="Steps between checkpoints."
)

SHARED = options.shared(
    eval_text, objective, tau, gamma, boundaries, divergence, byte_share, loss_temperature, steps,
    rate, batch_size, accumulate, max_length, lora, new_rows_only, save_every, resume,
)  # fmt: skip
OBJECTIVE = {
    "tau": "tau", "gamma": "gamma", "boundaries": "boundaries", "divergence": "divergence",
    "byte_share": "share", "loss_temperature": "temperature",
}  # fmt: skip
SCHEDULE = (
    "steps", "rate", "batch_size", "accumulate", "max_length", "warmup", "weight_decay", "clip",
    "save_every", "judge_every", "patience", "seed",
)  # fmt: skip


def settled(settings: dict[str, Any]) -> Mapping[str, Any]:
    """Options as `distill` takes them: a schedule, an objective, and the others.

    Raises:
        UsageError: One is out of range.
    """
    from tokxfer.workflows.training.registry import build_objective
    from tokxfer.workflows.training.schedule import Schedule

    named = {name: settings.pop(name) for name in SCHEDULE if name in settings}
    own = {OBJECTIVE[name]: settings.pop(name) for name in OBJECTIVE if name in settings}
    objective = build_objective(settings.pop("objective"), **own)
    return {"schedule": Schedule(**named), "objective": objective, **settings}
