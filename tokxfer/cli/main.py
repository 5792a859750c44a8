"""The `tokxfer` command: a lazy group, so that `--help` imports nothing but click."""

# ruff: noqa: ARG002 (click decides what its hooks are given)
from __future__ import annotations

import importlib
import sys

import click

from tokxfer import __version__
from tokxfer.cli.failures import report_failure

COMMANDS = {
    "align": "What two vocabularies share: match kinds, coverage, roles, digits.",
    "transplant": "Give a model another tokenizer, without training.",
    "compare": "Several methods of transplanting side by side on held-out text.",
    "evaluate": "Bits per byte and perplexity of models on a text.",
    "validate": "Is this a sound model folder? Exit code 1 if not.",
    "env": "Versions and devices, for a bug report.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they run; their summaries stand in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command: `tokxfer.cli.<name>` holds a click command called `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"tokxfer.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
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
