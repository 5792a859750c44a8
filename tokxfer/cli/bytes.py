"""`tokxfer bytes`: a tokenized model asked for bytes; each verb is a file `bytes_<verb>.py`."""

from __future__ import annotations

import click

from tokxfer.cli.lazy import LazyGroup

COMMANDS = {
    "next": "The law of the byte behind a text.",
    "score": "Bits per byte of a text, byte by byte.",
    "generate": "How a text goes on.",
    "heal": "A prompt as tokens that a model can go on from.",
    "fill": "What stands between a prefix and a suffix.",
}


@click.group(
    "bytes",
    cls=LazyGroup,
    summaries=COMMANDS,
    prefix="bytes_",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tokxfer bytes next models/english-bytebpe "The time trav"
  tokxfer bytes score models/english-bytebpe --file models/held_out.jsonl --limit 2
""",
)
def command() -> None:
    """A tokenized language model, asked for bytes.

    A model of tokens gives every byte string a probability: the sum over the token sequences that
    spell it. So texts may end anywhere, in mid-word too, and models with different tokenizers can
    be compared byte by byte.
    """
