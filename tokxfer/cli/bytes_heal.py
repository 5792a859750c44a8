"""`tokxfer bytes heal`: a prompt as tokens that a model can go on from."""

from __future__ import annotations

from typing import Any

import click

from tokxfer.cli import bytes_options, options
from tokxfer.cli.output import print_json, print_table


@click.command(
    "heal",
    epilog="""\b
Examples:
  tokxfer bytes heal models/english-bytebpe "The time trav"
  tokxfer bytes heal models/code-bytebpe "    retu" --sample --seed 1 --json
""",
)
@bytes_options.model
@bytes_options.text
@bytes_options.in_hex
@click.option("--file", metavar="FILE", help="A file of plain text in place of TEXT.")
@click.option("--sample", is_flag=True, help="Draw a cover by its weight, not the heaviest.")
@options.shared(
    bytes_options.asking,
    options.seed,
    bytes_options.loaded,
    options.as_json,
)  # fmt: skip
def command(
    model: str,
    text: str | None,
    in_hex: str | None,
    file: str | None,
    sample: bool,
    epsilon: float,
    seed: int,
    no_bos: bool,
    as_json: bool,
    **loading: Any,
) -> None:
    """A prompt as tokens that a model can go on from.

    Of the token sequences that cover the prompt the heaviest is taken; its last token may spell
    more than the prompt.
    """
    from tokxfer.bytelevel.context import Beginning

    prompt = bytes_options.prompt(text, in_hex, file)
    lm = bytes_options.load(model, **loading)
    before = Beginning() if no_bos else None
    found = lm.heal(prompt, before, sample=sample, epsilon=epsilon, seed=seed)
    if as_json:
        print_json({"model": model, "law": lm.law, **found.to_dict()})
        return
    tokens = lm.vocabulary.tokens
    rows: list[list[object]] = [[token, repr(tokens[token])[1:]] for token in found.ids]
    print_table("", ["id", "bytes"], rows)
