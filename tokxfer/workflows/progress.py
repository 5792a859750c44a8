"""Progress bars: on stderr, one look, gone when they are not wanted."""

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
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        disable=not shown,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
    )
