"""The output sink: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

SCHEMA_VERSION = 1
PIPED_WIDTH = 200


def print_json(document: Mapping[str, Any]) -> None:
    """Print exactly one JSON document on stdout, with its schema version first."""
    body = {"schema_version": SCHEMA_VERSION, **document}
    click.echo(json.dumps(body, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, err: bool = False
) -> None:
    """Print a table on stdout, or on stderr; columns of numbers are right-aligned.

    The title stands on a line of its own, not wrapped to the width of the table. A terminal's own
    width is used; elsewhere tables are wide, so that pipes see whole lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header = any(columns)
    table = Table(box=None, pad_edge=False, show_header=header)
    for index, column in enumerate(columns):
        numeric = is_numeric([row[index] for row in rows])
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(cell)) for cell in row))
    console = Console(markup=False, highlight=False, stderr=err)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    if title:
        console.print(title, style="italic", soft_wrap=True)
    console.print(table)


def is_numeric(cells: Sequence[object]) -> bool:
    """Whether a column holds numbers and nothing else, gaps (None) aside."""
    present = [cell for cell in cells if cell is not None]
    return bool(present) and all(
        isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in present
    )


def format_cell(cell: object) -> str:
    """Thousands separated, four significant digits, a dash for None."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.4g}" if abs(cell) < 10_000 else f"{cell:,.0f}"
    return str(cell)


def note(message: str, *, quiet: bool = False) -> None:
    """Print a remark or warning on stderr, unless quiet."""
    if not quiet:
        click.echo(message, err=True)
