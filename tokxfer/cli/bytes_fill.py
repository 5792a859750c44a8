"""`tokxfer bytes fill`: what stands between a prefix and a suffix."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import bytes_drawing, bytes_options, options
from tokxfer.cli.output import note, print_json


@click.command(
    "fill",
    epilog="""\b
Examples:
  tokxfer bytes fill models/code-bytebpe "def add(a, b): retu" "a + b"
  tokxfer bytes fill models/code-bytebpe "for i in ra" "(10):" --temperature 0 --json
""",
)
@bytes_options.model
@click.argument("prefix")
@click.argument("suffix")
@click.option(
    "--order",
    type=click.Choice(["psm", "spm"]),
    default="psm",
    show_default=True,
    help="Show the model the prefix first, or the suffix.",
)
@bytes_drawing.new_bytes
@bytes_drawing.temperature
@bytes_drawing.top_k
@bytes_drawing.top_p
@bytes_drawing.min_p
@options.shared(
    bytes_options.law,
    bytes_options.horizon,
    options.seed,
    options.device,
    options.compute_dtype,
    options.revision,
    options.trust_remote_code,
    options.offline,
    options.as_json,
    options.quiet,
)  # fmt: skip
def command(
    model: str,
    prefix: str,
    suffix: str,
    order: str,
    law: str,
    horizon: int | None,
    device: str,
    dtype: str,
    revision: str | None,
    trust_remote_code: bool,
    offline: bool,
    as_json: bool,
    quiet: bool,
    **drawing: Any,
) -> None:
    """What stands between a prefix and a suffix.

    For models with markers of prefix, suffix and middle. Tokens may span both seams. Prints the
    middle alone.
    """
    from tokxfer.bytelevel import FillTemplate

    before, after = (bytes_options.given(part, None) or "" for part in (prefix, suffix))
    lm = bytes_options.load(
        model, law, horizon, device=device, dtype=dtype, revision=revision,
        trust_remote_code=trust_remote_code, offline=offline,
    )  # fmt: skip
    template = FillTemplate.of(lm.vocabulary, order)
    found = lm.fill(before, after, template=template, **drawing)
    if as_json:
        print_json({"model": model, "law": law, **found.to_dict()})
        return
    click.echo(found.text)
    if not found.whole:
        note("The middle did not end where the suffix can follow.", quiet=quiet)
