"""Groups whose commands are imported when they run, so that `--help` imports nothing but click."""

# ruff: noqa: ARG002 (click decides what its hooks are given)
from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands each live in a module of their own.

    Args:
        summaries: What each command does, in the order in which people need them.
        prefix: What stands before a command's name in its module's: `tokxfer.cli.<prefix><name>`
            holds a click command called `command`.
    """

    def __init__(
        self, *args: Any, summaries: Mapping[str, str], prefix: str = "", **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.summaries, self.prefix = summaries, prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in their order."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.summaries:
            return None
        command = importlib.import_module(
            f"tokxfer.cli.{self.prefix}{cmd_name.replace('-', '_')}"
        ).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))
