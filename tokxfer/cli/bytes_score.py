"""`tokxfer bytes score`: bits per byte of a text, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import bytes_options, options
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.bytelevel import Score
    from tokxfer.workflows.score_bytes import ByteEvaluation, ByteReport


@click.command(
    "score",
    epilog="""\b
Examples:
  tokxfer bytes score models/english-bytebpe "The time traveller smiled." -v
  tokxfer bytes score models/english-bytebpe --file models/held_out.jsonl --limit 2
  tokxfer bytes score models/english-spbpe --file models/held_out.jsonl --limit 2 --law all --json
""",
)
@bytes_options.model
@bytes_options.text
@bytes_options.in_hex
@click.option(
    "--file",
    metavar="FILE",
    help='A file in place of TEXT: plain text (one document), or JSON lines with a "text" field; '
    ".xz, .gz, .bz2 and .zst are read.",
)
@click.option(
    "--window",
    type=click.IntRange(min=2),
    metavar="TOKENS",
    help="Tokens of a window; windows overlap by half.  [default: the model's maximum length]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read N documents of the file."
)
@options.shared(
    bytes_options.asking,
    bytes_options.loaded,
    options.as_json,
    options.quiet,
    options.verbose,
)  # fmt: skip
def command(
    model: str,
    text: str | None,
    in_hex: str | None,
    file: str | None,
    law: str,
    horizon: int | None,
    no_bos: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **arguments: Any,
) -> None:
    """Bits per byte of a text, byte by byte.

    Each byte is predicted from those before it, whatever the tokens; documents start afresh after
    the model's bos token, else its eos token, and their end is not scored. The figures have the
    form of `tokxfer evaluate --json`, which scores the tokenizer's own tokens instead.
    """
    from tokxfer.errors import UsageError
    from tokxfer.workflows.score_bytes import score_bytes

    bytes_options.one_source(text, in_hex, file)
    given = bytes_options.given(text, in_hex)
    if given is None and file is None:
        raise UsageError("There is no text to score.", "Give one of TEXT, --hex and --file.")
    arguments |= {"law": law, **bytes_options.within(law, horizon)}
    report = score_bytes(
        model, given, file=file, bos=not no_bos, progress=not quiet, **arguments
    )  # fmt: skip
    if as_json:
        print_json(report.to_dict())
    else:
        print_figures(report)
    if not quiet:
        remark(report, verbose)


def print_figures(report: ByteReport) -> None:
    """Print one row: what evaluate prints, and the log-probability of a single text."""
    result, score = report.result, report.score
    columns = ["model", "law", "bits/byte", "±", "bytes"]
    row: list[object] = [
        result.model, result.law, result.bits_per_byte, result.stderr, result.bytes
    ]  # fmt: skip
    if score is not None:
        columns.append("nats")
        row.append(score.total)
    print_table("", columns, [row])


def remark(report: ByteReport, verbose: bool) -> None:
    """Say on stderr what a reader of the figures should know."""
    result = report.result
    if result.empty_documents:
        note(f"{result.model}: {result.empty_documents:,} empty documents were left out.")
    if result.begin is None:
        note(f"{result.model}: nothing before a text; all ids are equally likely to be its first.")
    if report.settings["epsilon"]:
        note(left_out(result))
    if verbose:
        asked = sum(score.asked for score in result.scores)
        windows = "" if result.window is None else f"windows of {result.window:,} tokens, "
        note(
            f"{result.model}: {result.documents:,} documents, {windows}{asked:,} tokens asked at, "
            f"{result.seconds:.1f} s."
        )
        if report.score is not None:
            print_bytes(report.score)


def left_out(result: ByteEvaluation) -> str:
    """Say what leaving token sequences out did to the mass of documents."""
    more = f", or more by up to {result.slack:.3g}" if result.slack else ", none of it left out"
    return (
        f"{result.model}: the mass of the text is {result.mass:.6g} nats{more}; "
        "with --epsilon the nats of single bytes are estimates."
    )


def print_bytes(score: Score) -> None:
    """Print each byte of a text with its log-probability, on stderr."""
    rows = [
        [bytes_options.spelled(value), f"{value:02x}", nats]
        for value, nats in zip(score.data, score.nats.tolist(), strict=True)
    ]
    print_table("", ["byte", "hex", "nats"], rows, err=True)
