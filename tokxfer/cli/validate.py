"""`tokxfer validate`: is this a sound model folder?"""

from __future__ import annotations

import click

from tokxfer.cli import options
from tokxfer.cli.output import note, print_json, print_table


@click.command(
    "validate",
    epilog="""\b
Examples:
  tokxfer validate out
  tokxfer validate out --json
""",
)
@click.argument("folder")
@options.shared(options.memory_budget, options.trust_remote_code, options.as_json, options.quiet)
@click.pass_context
def command(
    context: click.Context,
    folder: str,
    memory_budget: str,
    trust_remote_code: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge whether FOLDER is a sound model folder; exit code 1 if not.

    Nine points: weights complete, vocabulary size, tying, special ids, tokenizer config,
    post-processor, weight map, round trip (the model is loaded if it fits the memory budget and
    generates a few tokens), model card. A point that does not apply says so and counts as held.
    """
    from tokxfer.checkpoints import parse_size
    from tokxfer.workflows.validate import validate

    budget = None if memory_budget == "auto" else parse_size(memory_budget)
    report = validate(folder, trust_remote_code=trust_remote_code, memory_budget=budget)
    if as_json:
        print_json(report.to_dict())
    elif not quiet:
        rows = [(c.name, "ok" if c.ok else "FAILED", c.detail) for c in report.checks]
        print_table("", ["check", "", "detail"], rows)
    failed = [check.name for check in report.checks if not check.ok]
    if failed:
        note(f"{folder} is not sound: {', '.join(failed)}.", quiet=quiet and as_json)
        context.exit(1)
