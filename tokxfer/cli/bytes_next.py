"""`tokxfer bytes next`: the law of the byte behind a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import bytes_options, options
from tokxfer.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from tokxfer.bytelevel import NextByte


@click.command(
    "next",
    epilog="""\b
Examples:
  tokxfer bytes next models/english-bytebpe "The time trav"
  tokxfer bytes next models/english-spbpe --hex "20 e2 80" --top 3
  tokxfer bytes next models/english-bytebpe "The time trav" --law all --json
""",
)
@bytes_options.model
@bytes_options.text
@bytes_options.in_hex
@click.option("--file", metavar="FILE", help="A file of plain text in place of TEXT.")
@click.option(
    "--top",
    type=click.IntRange(min=1, max=256),
    default=10,
    show_default=True,
    metavar="N",
    help="Print so many of the likeliest bytes.",
)
@options.shared(
    bytes_options.asking,
    bytes_options.loaded,
    options.as_json,
    options.quiet,
)  # fmt: skip
def command(
    model: str,
    text: str | None,
    in_hex: str | None,
    file: str | None,
    top: int,
    epsilon: float,
    no_bos: bool,
    as_json: bool,
    quiet: bool,
    **loading: Any,
) -> None:
    """The law of the byte behind a text.

    TEXT is what was written so far, put as the tokenizer would put it (some put a space before
    it); it may end in mid-word. Without any text the law is that of a text's first byte. The end
    of the text, all stop tokens together, is one outcome beside the 256 bytes.
    """
    from tokxfer.bytelevel.context import Beginning

    prompt = bytes_options.prompt(text, in_hex, file)
    bytes_options.refuse_nothing(prompt, no_bos)
    lm = bytes_options.load(model, **loading)
    horizon = lm.horizon if lm.law == "all" else None
    law = lm.next_byte(prompt, Beginning() if no_bos else None, epsilon=epsilon)
    if as_json:
        told = {"model": model, "prompt": lm.spell(prompt).hex(), "horizon": horizon}
        print_json({**told, **law.to_dict()})
        return
    print_law(law, top)
    if horizon is not None:
        note(f"All tokenizations of the last {horizon} bytes were taken.", quiet=quiet)
    if epsilon:
        note(left_out(law), quiet=quiet)


def left_out(law: NextByte) -> str:
    """Say what leaving token sequences out did to a law."""
    if law.exact:
        return "No token sequence that was left out matters here: the figures are exact."
    share = math.exp(law.missing - law.mass)
    return (
        "Token sequences were left out: the probabilities lie within the bounds, and the mass of "
        f"the text is e^{law.mass:.6g}, or more by up to {share:.2%}."
    )


def print_law(law: NextByte, top: int) -> None:
    """Print the likeliest bytes and the end of the text, with their bounds where they differ."""
    best = [byte[0] for byte, share in law.top(top) if share > 0]
    shown = [(bytes_options.spelled(value), f"{value:02x}", value) for value in best]
    nats = [*law.nats.tolist(), law.stop]
    columns = ["byte", "hex", "probability", "nats"]
    if not law.exact:
        columns += ["at least", "at most"]
    rows: list[list[object]] = []
    for name, digits, outcome in [*shown, ("end of the text", "", len(nats) - 1)]:
        bounds = () if law.exact else (law.lower[outcome], law.upper[outcome])
        limits = [min(1.0, math.exp(float(bound))) for bound in bounds]
        rows.append([name, digits, math.exp(nats[outcome]), nats[outcome], *limits])
    print_table("", columns, rows)
