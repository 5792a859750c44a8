"""The `tokxfer` command: a lazy group, so that `--help` imports nothing but click."""

from __future__ import annotations

import sys

import click

from tokxfer import __version__
from tokxfer.cli.failures import report_failure
from tokxfer.cli.lazy import LazyGroup

COMMANDS = {
    "align": "What two vocabularies share: match kinds, coverage, roles, digits.",
    "transplant": "Give a model another tokenizer, without training.",
    "compare": "Several methods of transplanting side by side on held-out text.",
    "doctor": "What a teacher and a student will make of one another, before training.",
    "distill": "Train a student on what a teacher with another tokenizer says.",
    "teacher-cache": "Ask a teacher about texts once, so that students learn without it.",
    "evaluate": "Bits per byte and perplexity of models on a text.",
    "bytes": "A model asked for bytes: its law of the next byte, bits per byte.",
    "validate": "Is this a sound model folder? Exit code 1 if not.",
    "env": "Versions and devices, for a bug report.",
}


@click.group(
    cls=LazyGroup,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  tokxfer align models/english-spbpe models/english-bytebpe
  tokxfer transplant models/english-spbpe models/english-bytebpe out
  tokxfer evaluate models/english-spbpe out --text models/held_out.txt
""",
)
@click.version_option(__version__, prog_name="tokxfer")
def group() -> None:
    """Move knowledge between language models that do not share a tokenizer."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; known failures become one sentence and an exit code."""
    try:
        result = group.main(args=arguments, prog_name="tokxfer", standalone_mode=False)
    except BaseException as failure:
        sys.exit(report_failure(failure))
    sys.exit(result if isinstance(result, int) else 0)
