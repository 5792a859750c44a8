"""`tokxfer transplant`: a model with another tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import methods, options, training
from tokxfer.cli.distill import print_summary as print_training
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.workflows.planning import Plan

TRAINING = (
    *training.OBJECTIVE, "eval_text", "objective", "steps", "rate", "batch_size", "accumulate",
    "max_length", "lora", "new_rows_only", "save_every", "resume",
)  # fmt: skip


@click.command(
    epilog="""\b
Examples:
  tokxfer transplant models/english-spbpe models/english-bytebpe out
  tokxfer transplant models/english-spbpe models/english-bytebpe out -m subword --force
  tokxfer transplant models/english-spbpe models/english-bytebpe out -k 16 --dry-run
  tokxfer transplant models/english-spbpe models/english-bytebpe out --keep-digits --force
  tokxfer transplant models/english-spbpe models/english-bytebpe out --distill texts.jsonl
  tokxfer transplant models/english-spbpe bytes out
"""
)
@click.argument("base")
@click.argument("donor")
@click.argument("out", type=click.Path())
@methods.method
@methods.every
@options.encoder
@options.twins
@options.trust_undertrained
@options.train_text
@options.keep_digits
@options.untie
@click.option("--pad-to-multiple-of", type=int, help="Round the rows up to a multiple of this.")
@click.option(
    "--distill",
    "data",
    multiple=True,
    metavar="PATH",
    help="Train the result on text, taught by BASE: the options from here to --resume are those "
    "of 'tokxfer distill'; may be repeated.",
)
@training.SHARED
@click.option("--max-shard-size", default="5GB", show_default=True, help="Largest weight file.")
@options.donor_revision
@options.shared(
    options.device,
    options.dtype,
    options.seed,
    options.memory_budget,
    options.revision,
    options.offline,
    options.trust_remote_code,
    options.force,
    options.dry_run,
    options.as_json,
    options.quiet,
    options.verbose,
)
def command(
    base: str,
    donor: str,
    out: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Give BASE the tokenizer of DONOR and write the model to OUT.

    BASE is a model folder or hub name. DONOR is another, or a bare tokenizer (a folder or a
    tokenizer.json) for methods that need no donor weights; or the word 'bytes', for a model that
    reads and writes bytes. No training; shared tokens keep their rows bit for bit, and the result
    is checked before it is put in place.
    """
    from tokxfer.workflows.planning import plan_transplant
    from tokxfer.workflows.transplant import carry_out

    told = {name: settings.pop(name) for name in TRAINING}
    data = settings.pop("data")
    plan = plan_transplant(base, donor, out, **settings)
    if dry_run:
        if as_json:
            print_json(plan.to_dict())
        else:
            print_plan(plan.to_dict())
        return
    if data:
        report = train(plan, data, told, quiet)
        if report is None:
            return
    else:
        report = carry_out(plan, progress=not quiet).to_dict()
    if as_json:
        print_json(report)
    else:
        if "rows" in report:
            print_summary(report)
        if "distillation" in report:
            click.echo()
            print_training(report["distillation"])
    for warning in report["warnings"]:
        note(f"Warning: {warning}", quiet=quiet)
    if verbose and "checks" in report:
        print_details(report)


def train(
    plan: Plan, data: tuple[str, ...], told: dict[str, Any], quiet: bool
) -> dict[str, Any] | None:
    """Transplant and train; the account, None in all processes but the first."""
    from tokxfer.workflows.adapt import adapt
    from tokxfer.workflows.training.processes import is_first

    settled = training.settled({**told, "seed": plan.seed})
    report = adapt(plan, data=data, progress=not quiet and is_first(), **settled)
    return report.to_dict() if is_first() else None


def print_plan(plan: dict[str, Any]) -> None:
    """What would be done, and what it would take."""
    from tokxfer.checkpoints import format_size

    print_vocabularies(plan)
    click.echo()
    print_table(
        f"Plan for {plan['out']} (nothing written)",
        ["", ""],
        [
            ("method", plan["method"]),
            *([("head", "untied: rows of its own")] if plan["untied"] else []),
            ("byte strings shared", plan["shared"]),
            ("ids that keep a row by their bytes", plan["copied_ids"]),
            ("ids that keep a row by their role", plan["role_ids"]),
            ("ids that get a new row", plan["new_ids"]),
            ("digits", told_of_digits(plan["digits_kept"])),
            ("weights on disk", format_size(plan["disk_bytes"])),
            ("memory for the matrices", format_size(plan["memory_bytes"])),
        ],
    )


def told_of_digits(kept: dict[str, Any] | None) -> str:
    """What --keep-digits does, in a few words."""
    if kept is None:
        return "cut as by the donor"
    if not kept["changed"]:
        return f"cut alike by both ({kept['policy']})"
    return (
        f"cut as by the base ({kept['policy']}; the donor: {kept['donor_policy']}), "
        f"{kept['added_tokens']:,} tokens added, {kept['unused_tokens']:,} not used"
    )


def print_vocabularies(facts: dict[str, Any]) -> None:
    """Sizes before and after."""
    print_table(
        f"{facts['base']} with the tokenizer of {facts['donor']}",
        ["", "before", "after"],
        [
            ("tokens in the tokenizer", facts["base_size"], facts["donor_size"]),
            ("rows in the embedding", facts["rows_before"], facts["rows_after"]),
        ],
    )


def print_summary(report: dict[str, Any]) -> None:
    """The before and after of a transplant, as tables."""
    print_vocabularies(report)
    click.echo()
    origins = {origin: None for counts in report["rows"].values() for origin in counts}
    print_table(
        "How the rows came about",
        ["matrix", *origins],
        [
            (matrix, *(counts.get(origin, 0) for origin in origins))
            for matrix, counts in report["rows"].items()
        ],
    )
    chosen = {matrix: choice for matrix, choice in report["chosen"].items() if choice}
    print_scores({m: choice["cosines"] for m, choice in chosen.items() if "cosines" in choice})
    print_choices(
        f"What {report['method']} chose",
        {m: {k: v for k, v in c.items() if k != "cosines"} for m, c in chosen.items()},
    )
    if report["digits_kept"] is not None:
        click.echo(f"\nDigits are {told_of_digits(report['digits_kept'])}.")
    print_choices("Rows that training hardly touched", report["undertrained"])
    click.echo(
        f"\n{len(report['checks'])} checks hold. {report['out']} written in "
        f"{report['seconds']:.1f} s, {report['peak_bytes'] / 1e6:,.0f} MB at the peak."
    )


def print_scores(scores: dict[str, dict[str, float]]) -> None:
    """A line per method, a column per matrix, the best first; nothing where none was tried."""
    if scores:
        click.echo()
        names = {name: None for found in scores.values() for name in found}
        ranked = sorted(names, key=lambda name: -sum(s.get(name, -1.0) for s in scores.values()))
        print_table(
            "Cosine with held-out rows",
            ["method", *scores],
            [(name, *(found.get(name) for found in scores.values())) for name in ranked],
        )


def print_choices(title: str, choices: dict[str, dict[str, Any]]) -> None:
    """A line per matrix, a column per thing chosen or measured; nothing where there is none."""
    if choices:
        click.echo()
        names = {name: None for choice in choices.values() for name in choice}
        print_table(
            title,
            ["matrix", *(name.replace("_", " ") for name in names)],
            [(matrix, *map(choice.get, names)) for matrix, choice in choices.items()],
        )


def print_details(report: dict[str, Any]) -> None:
    """The table of roles and every check, on stderr."""
    print_table(
        "\nRoles",
        ["role", "donor", "id", "base", "id"],
        [
            (role["role"].split(":")[0], role["donor_token"], role["donor_id"],
             role["base_token"] or "none: the mean row", role["base_id"])
            for role in report["roles"]
        ],
        err=True,
    )  # fmt: skip
    checks = [(check["name"], check["detail"]) for check in report["checks"]]
    print_table("\nChecks, all of which hold", ["check", "detail"], checks, err=True)
