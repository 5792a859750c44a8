"""`tokxfer bytes fill`: what stands between a prefix and a suffix."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import bytes_drawing, bytes_options, options
from tokxfer.cli.output import note, print_json


class Seam(click.ParamType[int | None]):
    """A number of bytes, or `token`, which is None."""

    name = "seam"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """The number, 0 or more."""
        if value == "token":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number of bytes nor 'token'.", param, ctx)
        return int(value)


@click.command(
    "fill",
    epilog="""\b
Examples:
  tokxfer bytes fill models/code-bytebpe "def add(a, b): retu" "a + b"
  tokxfer bytes fill models/code-bytebpe "for i in ra" "(10):" --temperature 0 --json
  tokxfer bytes fill models/code-bytebpe --prefix-file above.py --suffix-file below.py --seam token
  tokxfer bytes fill models/code-bytebpe "for i in ra" "(10):" --markers 3 4 "<|fim_middle|>"
""",
)
@bytes_options.model
@click.argument("prefix", required=False, metavar="[PREFIX]")
@click.argument("suffix", required=False, metavar="[SUFFIX]")
@click.option("--prefix-file", metavar="FILE", help="A file of plain text in place of PREFIX.")
@click.option("--suffix-file", metavar="FILE", help="A file of plain text in place of SUFFIX.")
@click.option("--prefix-hex", metavar="DIGITS", help="Bytes in place of PREFIX, as they are.")
@click.option("--suffix-hex", metavar="DIGITS", help="Bytes in place of SUFFIX.")
@click.option(
    "--seam",
    type=Seam(),
    default="0",
    show_default=True,
    metavar="N|token",
    help="Bytes of the suffix that the middle has to end with, or its first token.",
)
@click.option(
    "--order",
    type=click.Choice(["psm", "spm"]),
    default="psm",
    show_default=True,
    help="Show the model the prefix first, or the suffix.",
)
@click.option(
    "--markers",
    nargs=3,
    metavar="PREFIX SUFFIX MIDDLE",
    help="Tokens that mark the three, by id or name.  [default: those known by name]",
)
@bytes_drawing.new_bytes
@bytes_drawing.temperature
@bytes_drawing.top_k
@bytes_drawing.top_p
@bytes_drawing.min_p
@options.shared(
    bytes_options.asking,
    options.seed,
    bytes_options.loaded,
    options.as_json,
    options.quiet,
)  # fmt: skip
def command(
    model: str,
    prefix: str | None,
    suffix: str | None,
    prefix_file: str | None,
    suffix_file: str | None,
    prefix_hex: str | None,
    suffix_hex: str | None,
    seam: int | None,
    order: str,
    markers: tuple[str, str, str] | None,
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
    """What stands between a prefix and a suffix.

    For models with markers of prefix, suffix and middle. The prefix may end in mid-word; the suffix
    may begin there with --seam, which shows the model less of it: then the middle ends only where
    those bytes were written. Either side may be left out. Prints the middle alone.
    """
    from dataclasses import replace

    from tokxfer.bytelevel import FillTemplate

    if suffix is None and (prefix_file is not None or prefix_hex is not None):
        prefix, suffix = None, prefix  # the one that was given is what is left
    before = bytes_options.prompt(prefix, prefix_hex, prefix_file, "prefix")
    after = bytes_options.prompt(suffix, suffix_hex, suffix_file, "suffix")
    lm = bytes_options.load(
        model, law, horizon, device=device, dtype=dtype, revision=revision,
        trust_remote_code=trust_remote_code, offline=offline,
    )  # fmt: skip
    template = replace(FillTemplate.of(lm.vocabulary, order, markers), seam=seam)
    found = lm.fill(before, after, template=template, context=[] if no_bos else None, **drawing)
    if as_json:
        print_json({"model": model, "law": law, **found.to_dict()})
        return
    click.echo(found.text)
    if not found.whole:
        note("The middle has no end yet: it was cut off at --max-new-bytes.", quiet=quiet)
