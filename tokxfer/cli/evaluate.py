"""`tokxfer evaluate`: bits per byte and perplexity of models on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import options
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.workflows.evaluation import Evaluation, EvaluationReport


@click.command(
    "evaluate",
    epilog="""\b
Examples:
  tokxfer evaluate models/english-spbpe --text models/held_out.txt
  tokxfer evaluate out --text models/held_out.txt --against models/english-spbpe
  tokxfer evaluate gpt2 --text documents.jsonl.xz --limit 100 --json
""",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--text",
    "text",
    required=True,
    multiple=True,
    metavar="FILE",
    help='Plain text (one document), or JSON lines with a "text" field; .xz, .gz, .bz2 and .zst '
    "are read. May be given several times.",
)
@click.option("--against", metavar="BASE", help="Add the ratio of bits per byte to this model's.")
@click.option(
    "--window",
    type=click.IntRange(min=2),
    metavar="TOKENS",
    help="Tokens of a window; windows overlap by half.  [default: the model's maximum length]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read N documents of each file."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most windows in a batch.  [default: what memory holds]",
)
@options.shared(
    options.device,
    options.compute_dtype,
    options.memory_budget,
    options.revision,
    options.trust_remote_code,
    options.offline,
    options.as_json,
    options.quiet,
    options.verbose,
)  # fmt: skip
def command(as_json: bool, quiet: bool, verbose: bool, **arguments: Any) -> None:
    """Bits per byte and perplexity of models on a text.

    Bits per byte are comparable between tokenizers, perplexity per token is not. Every document
    starts afresh after the model's bos token, else its eos token; every token of the text is
    scored, the end of a document is not.
    """
    from tokxfer.workflows.evaluate import evaluate

    report = evaluate(**arguments, progress=not quiet)
    if as_json:
        print_json(report.to_dict())
    else:
        print_figures(report)
    if not quiet:
        for result in report.all_results():
            remark(result, verbose)


def print_figures(report: EvaluationReport) -> None:
    """Print one row for each model, the base of the ratios first."""
    columns = ["model", "bits/byte", "±", "perplexity", "tokens", "bytes"]
    rows: list[list[object]] = []
    base = report.against
    if base is not None:
        columns += ["ratio", "±"]
        if base not in report.results:
            rows.append([*figures(base), None, None])
    for result, ratio in zip(report.results, report.ratios(), strict=True):
        more = [] if ratio is None else [ratio.value, ratio.stderr]
        rows.append([*figures(result), *more])
    print_table("", columns, rows)


def figures(result: Evaluation) -> list[object]:
    """The cells of one model."""
    return [
        result.model,
        result.bits_per_byte,
        result.stderr,
        result.perplexity,
        result.tokens,
        result.bytes,
    ]


def remark(result: Evaluation, verbose: bool) -> None:
    """Say on stderr what a reader of the figures should know."""
    name = result.model
    if result.lossy_documents:
        note(
            f"{name}: the tokenizer does not give back {result.lossy_documents:,} of "
            f"{result.documents:,} documents as they were; {result.lossy_bytes:,} of "
            f"{result.bytes:,} bytes are missing."
        )
    if result.empty_documents:
        note(f"{name}: {result.empty_documents:,} empty documents were left out.")
    if result.begin is None:
        note(f"{name}: no bos and no eos id; first tokens are coded as equally likely ids.")
    if verbose:
        note(
            f"{name}: {result.documents:,} documents, windows of {result.window:,} tokens, "
            f"{result.seconds:.1f} s."
        )
