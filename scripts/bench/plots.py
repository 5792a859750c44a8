"""What the pictures of the benchmarks share: one look, and files that repeat to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS = {"svg.hashsalt": "tokxfer", "svg.fonttype": "none", "font.size": 9}


@contextmanager
def picture(path: Path, *panels: int, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes to draw on; written to a file when the block ends.

    Args:
        path: The file; its ending says the format.
        panels: Rows and columns of axes; none for a figure without any.
        options: Of matplotlib's `subplots`, such as figsize.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(SETTINGS):
        options = {"layout": "constrained"} | options
        drawn: tuple[Any, Any] = (
            pyplot.subplots(*panels, squeeze=False, **options)
            if panels
            else (pyplot.figure(**options), None)
        )
        yield drawn
        path.parent.mkdir(parents=True, exist_ok=True)
        svg = path.suffix == ".svg"
        drawn[0].savefig(path, metadata={"Date": None} if svg else None)
        pyplot.close(drawn[0])
    if svg:  # matplotlib leaves spaces at the ends of lines
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def without_sides(axis: Any, sides: Sequence[str] = ("top", "right")) -> None:
    """Take lines around a panel away."""
    for side in sides:
        axis.spines[side].set_visible(False)
