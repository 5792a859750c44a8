"""The options of verbs that draw bytes."""

from __future__ import annotations

import click

new_bytes = click.option(
    "--max-new-bytes",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Bytes at most.",
)
temperature = click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Divides the log-probabilities of the next byte; 0 takes the likeliest.",
)
top_k = click.option(
    "--top-k", type=click.IntRange(min=1), metavar="N", help="Draw from the N likeliest bytes."
)
top_p = click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="PART",
    help="Draw from the likeliest bytes that make up this much.",
)
min_p = click.option(
    "--min-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="PART",
    help="Draw from bytes with at least this part of the likeliest one's probability.",
)
