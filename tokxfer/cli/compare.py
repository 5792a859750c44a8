"""`tokxfer compare`: several methods side by side on one pair of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import methods, options
from tokxfer.cli.output import note, print_json, print_table
from tokxfer.errors import TokxferError

if TYPE_CHECKING:
    from tokxfer.workflows.comparison import ComparisonReport, Verdict


@click.command(
    "compare",
    epilog="""\b
Examples:
  tokxfer compare models/english-spbpe models/english-bytebpe --text models/held_out.jsonl
  tokxfer compare gpt2 model -m omp -m omp:k=8,tune=false --text documents.jsonl
  tokxfer compare gpt2 model --text documents.jsonl -m omp -m mean --probe 50
  tokxfer compare gpt2 tokenizer.json --text documents.jsonl -m subword -m mean --report out
""",
)
@click.argument("base")
@click.argument("donor")
@click.option(
    "--text",
    required=True,
    multiple=True,
    metavar="FILE",
    help='Plain text, or JSON lines with a "text" field: documents give standard errors.',
)
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    help="A method, with options like omp:k=8,tune=false; may be repeated.  [all but auto]",
)
@click.option("--report", type=click.Path(), help="Write report.json and report.html here.")
@options.encoder
@click.option(
    "--train-text",
    multiple=True,
    metavar="FILE",
    help="focus, wechsel, --probe: text to learn from.  [a third of the documents, not scored]",
)
@click.option(
    "--probe",
    type=click.IntRange(min=1),
    metavar="N",
    help="Compare copies after N steps of training by BASE, too: see --train-text.",
)
@click.option(
    "--probe-objective", default="alm", show_default=True, help="The probe's loss, as of distill."
)
@options.twins
@options.trust_undertrained
@options.keep_digits
@click.option("--window", type=click.IntRange(min=2), metavar="TOKENS", help="Tokens of a window.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read N documents of each file."
)
@options.donor_revision
@options.shared(
    options.device,
    options.compute_dtype,
    options.seed,
    options.memory_budget,
    options.revision,
    options.offline,
    options.trust_remote_code,
    options.force,
    options.as_json,
    options.quiet,
)
def command(report: str | None, force: bool, as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Try methods of giving BASE the tokenizer of DONOR, and measure what each keeps.

    Nothing is written but the report. Shared tokens that are hidden from a method say how near it
    comes to their rows; the text says what the new model has kept. Which method is best is chosen
    on a random half of the documents and judged on the other.
    """
    from tokxfer.workflows.compare import compare
    from tokxfer.workflows.compare_page import check_report, write_report

    if report is not None:
        texts = (*arguments["text"], *arguments["train_text"])
        inputs = [arguments["base"], arguments["donor"], *texts]
        check_report(report, force=force, inputs=inputs)
    arguments["methods"] = [methods.with_options(text) for text in arguments["methods"]] or None
    found = compare(**arguments, progress=not quiet)
    if report is not None and found.results:
        write_report(found, report, force=force, inputs=inputs)
    if as_json:
        print_json(found.to_dict())
        fail_without_results(found)
        return
    print_results(found)
    for remark in found.remarks:
        note(remark, quiet=quiet)
    if report is not None and found.results:
        note(f"{report}/report.html has the plots and the worst tokens.", quiet=quiet)
    fail_without_results(found)


def fail_without_results(found: ComparisonReport) -> None:
    """Exit with code 1 and a sentence where no method could be tried."""
    if not found.results:
        first = "".join(f" {name}: {reason}" for name, reason in list(found.skipped.items())[:1])
        raise TokxferError(f"None of the methods could be tried.{first}")


def print_results(found: ComparisonReport) -> None:
    """One row per method, the base first, and who wins."""
    matrices = dict.fromkeys(m for result in found.results for m in result.made.rows)
    after = [] if found.probe is None else [f"after {found.probe:,}", "±"]
    cosines = [f"cosine, {m}" for m in matrices]
    columns = ["method", "bits/byte", "ratio", "±", *after, *cosines, "s", "MB"]
    blank = [None for _ in (*after, *cosines)]
    rows: list[list[object]] = [["(base)", found.base.bits_per_byte, 1.0, None, *blank, None, None]]
    for result in found.results:
        made = result.made
        near = [made.held_out[m].cosine if m in made.held_out else None for m in matrices]
        then = result.probe_ratio
        probed = [] if not after else [None, None] if then is None else [then.value, then.stderr]
        extra = None if made.extra_bytes is None else round(made.extra_bytes / 1e6)
        rows.append(
            [result.method, result.evaluation.bits_per_byte, result.ratio.value,
             result.ratio.stderr, *probed, *near, round(made.seconds, 2), extra]
        )  # fmt: skip
    print_table(f"{found.base_name} with the tokenizer of {found.donor_name}", columns, rows)
    click.echo(
        f"\n{found.shared:,} byte strings are shared, {found.coverage:.1%} of the donor's; "
        f"{found.text_coverage:.1%} of the text's tokens keep their rows."
    )
    for method, reason in found.skipped.items():
        click.echo(f"Not tried: {method}. {reason}")
    for when, verdict in (
        ("", found.verdict),
        (f"After {found.probe} steps, ", found.probe_verdict),
    ):
        if verdict is not None:
            click.echo(
                f"\n{when}{'b' if when else 'B'}est on half of the documents: {told(verdict)}"
            )


def told(verdict: Verdict) -> str:
    """Which method won, and what it beat."""
    error = "" if verdict.stderr is None else f" ± {verdict.stderr:.3f}"
    said = f"on the other half its ratio is {verdict.ratio:.3f}{error}"
    if verdict.better:
        said += f", and {', '.join(verdict.better)} did better there"
    if verdict.equal:
        said += f", which is no different from {', '.join(verdict.equal)}"
    if verdict.others and not verdict.better and not verdict.equal:
        said += ", better than all others by more than the standard error of the difference"
    return f"{verdict.method}; {said}."
