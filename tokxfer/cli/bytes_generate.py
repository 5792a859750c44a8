"""`tokxfer bytes generate`: how a text goes on."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import bytes_drawing, bytes_options, options
from tokxfer.cli.output import note, print_json


@click.command(
    "generate",
    epilog="""\b
Examples:
  tokxfer bytes generate models/english-bytebpe "The time trav" --max-new-bytes 80
  tokxfer bytes generate models/english-spbpe "It was a" --temperature 0 --stop "."
  tokxfer bytes generate models/code-bytebpe "def ad" --top-p 0.9 --seed 1 --json
""",
)
@bytes_options.model
@bytes_options.text
@bytes_options.in_hex
@click.option("--file", metavar="FILE", help="A file of plain text in place of TEXT.")
@bytes_drawing.new_bytes
@bytes_drawing.temperature
@bytes_drawing.top_k
@bytes_drawing.top_p
@bytes_drawing.min_p
@click.option("--stop", multiple=True, metavar="STRING", help="Stop before it. Several may be.")
@click.option(
    "--by",
    type=click.Choice(["auto", "tokens", "bytes"]),
    default="auto",
    show_default=True,
    help="What is drawn behind the prompt's seam; auto draws bytes where a filter asks for it.",
)
@options.shared(
    bytes_options.asking,
    options.seed,
    bytes_options.loaded,
    options.as_json,
    options.quiet,
)  # fmt: skip
def command(
    model: str,
    text: str | None,
    in_hex: str | None,
    file: str | None,
    law: str,
    horizon: int | None,
    device: str,
    dtype: str,
    revision: str | None,
    trust_remote_code: bool,
    offline: bool,
    no_bos: bool,
    as_json: bool,
    quiet: bool,
    **drawing: Any,
) -> None:
    """How a text goes on.

    The prompt may end in mid-word: one of the token sequences that cover it is drawn by its
    weight, and tokens behind it. Temperature and cuts are of bytes; with them, byte after byte is
    drawn. Prints what was drawn, the prompt left out.
    """
    from tokxfer.bytelevel.context import Beginning

    prompt = bytes_options.prompt(text, in_hex, file)
    bytes_options.refuse_nothing(prompt, no_bos)
    lm = bytes_options.load(
        model, law, horizon, device=device, dtype=dtype, revision=revision,
        trust_remote_code=trust_remote_code, offline=offline,
    )  # fmt: skip
    found = lm.generate(prompt, Beginning() if no_bos else None, **drawing)
    if as_json:
        print_json({"model": model, "law": law, **found.to_dict()})
        return
    click.echo(found.text)
    note(f"Ended by {found.reason}; {len(found.data)} bytes, drawn in {found.by}.", quiet=quiet)
