"""`tokxfer transplant`: a model with another tokenizer."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import options
from tokxfer.cli.output import note, print_json, print_table


@click.command(
    epilog="""\b
Examples:
  tokxfer transplant models/english-spbpe models/english-bytebpe out
  tokxfer transplant models/english-spbpe models/english-bytebpe out -m subword --force
  tokxfer transplant models/english-spbpe models/english-bytebpe out -k 16 --dry-run
"""
)
@click.argument("base")
@click.argument("donor")
@click.argument("out", type=click.Path())
@click.option(
    "-m",
    "--method",
    default="omp",
    show_default=True,
    help="How rows of new tokens are found: omp, subword, mean, gaussian, zero.",
)
@click.option("-k", "--k", type=int, help="omp: shared tokens per combination, at most.  [64]")
@click.option("--selection", help="omp: raw, normalized or auto.  [auto]")
@click.option("--ridge", type=float, help="omp: penalty on coefficients.  [by held-out anchors]")
@click.option("--tune/--no-tune", default=None, help="omp: let held-out anchors lower k.  [tune]")
@click.option("--pad-to-multiple-of", type=int, help="Round the rows up to a multiple of this.")
@click.option("--max-shard-size", default="5GB", show_default=True, help="Largest weight file.")
@click.option("--donor-revision", help="Git revision of a donor's hub name.")
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
    tokenizer.json) for methods that need no donor weights. No training; shared tokens keep their
    rows bit for bit, and the result is checked before it is put in place.
    """
    from tokxfer.workflows.planning import plan_transplant
    from tokxfer.workflows.transplant import carry_out

    plan = plan_transplant(base, donor, out, **settings)
    if dry_run:
        if as_json:
            print_json(plan.to_dict())
        else:
            print_table("Plan (nothing written)", ["", "value"], list(plan.to_dict().items()))
        return
    report = carry_out(plan, progress=not quiet)
    for warning in report.warnings:
        note(f"Warning: {warning}", quiet=quiet)
    if as_json:
        print_json(report.to_dict())
        return
    print_summary(report.to_dict(), verbose)


def print_summary(report: dict[str, Any], verbose: bool) -> None:
    """The before and after of a transplant, as tables."""
    print_table(
        f"{report['base']} with the tokenizer of {report['donor']}",
        ["", "before", "after"],
        [
            ("tokens in the tokenizer", report["base_size"], report["donor_size"]),
            ("rows in the embedding", report["rows_before"], report["rows_after"]),
        ],
    )
    origins = sorted({origin for counts in report["rows"].values() for origin in counts})
    rows = [
        (matrix, *(counts.get(origin, 0) for origin in origins))
        for matrix, counts in report["rows"].items()
    ]
    print_table("\nHow the rows came about", ["matrix", *origins], rows)
    for matrix, chosen in report["chosen"].items():
        if chosen:
            told = ", ".join(f"{name} {value}" for name, value in chosen.items())
            click.echo(f"{matrix}: {told}" if verbose else f"{matrix}: {told}"[:160])
    if verbose:
        checks = [(check["name"], check["ok"], check["detail"]) for check in report["checks"]]
        print_table("\nChecks", ["check", "holds", "detail"], checks)
    click.echo(
        f"\n{len(report['checks'])} checks hold. {report['out']} written in "
        f"{report['seconds']:.1f} s, {report['peak_bytes'] / 1e6:,.0f} MB at the peak."
    )
