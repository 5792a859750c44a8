"""Progress bars: on stderr, live on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int | None, description: str, unit: str, shown: bool) -> tqdm[None]:
    """Open a bar on stderr; use it as a context manager and call its `update(count)`.

    Args:
        total: How many units there are, or None where nobody knows.
        description: What is being done, and to what.
        unit: What is counted, e.g. "tok".
        shown: Whether to show it at all; a bar that is not shown costs nothing.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        disable=not shown,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=not terminal,
        mininterval=0.1 if terminal else 10.0,
    )
