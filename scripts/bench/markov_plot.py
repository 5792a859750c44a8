"""The picture of `markov.py`: errors at every cut of one text, a panel a family."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import markov_page as pages
import numpy as np
from plots import picture, without_sides

LOOKS = {
    "token prompt": {"color": "#c44e52", "marker": "x"},
    "token healing": {"color": "#dd8452", "marker": "o", "markerfacecolor": "none", "ms": 6},
    "ByteLM": {"color": "#0b6e99", "marker": "s"},
}
OTHERS = (("#b0b0b0", "v"), ("#808080", "<"), ("#404040", ">"))  # colours and marks
LEAST = 1e-17  # what is smaller is drawn here
LONG = 24  # bytes: the first text at least so long is drawn


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw what every method is off by."""
    cases = document["cases"]
    size = (8.5, 0.8 + 1.8 * len(cases))
    with picture(path, len(cases), 1, sharey=True, figsize=size) as (figure, axes):
        for axis, case in zip(axes.flat, cases, strict=True):
            runs = [run for run in document["runs"] if run["family"] == case["family"]]
            panel(axis, case, runs)
        figure.supylabel("total variation distance to the source", fontsize=9)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8)


def panel(axis: Any, case: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """One family."""
    texts = [bytes.fromhex(text) for text in case["texts"]]
    chosen = next((at for at, text in enumerate(texts) if len(text) >= LONG), 0)
    others = itertools.cycle(OTHERS)
    for method in pages.methods(runs):
        off = {r["cut"]: r["off"] for r in runs if (r["method"], r["text"]) == (method, chosen)}
        cuts = [cut for cut, value in off.items() if value is not None]
        heights = np.maximum([off[cut] for cut in cuts], LEAST)
        look = LOOKS.get(method) or dict(zip(("color", "marker"), next(others), strict=True))
        axis.plot(cuts, heights, **{"ms": 4, "linestyle": "none", "label": method} | look)
    axis.set_yscale("log")
    axis.set_ylim(LEAST / 3, 3)
    axis.set_title(f"{case['family']}: cut behind", fontsize=9, loc="left")
    axis.set_xticks(range(1, len(texts[chosen]) + 1), labels_of(texts[chosen]))
    axis.grid(color="0.92", linewidth=0.6)
    axis.set_axisbelow(True)
    without_sides(axis)


def labels_of(text: bytes) -> list[str]:
    """A label for every byte: its character below the last one, dots below the others."""
    found: list[str] = []
    for character in text.decode():
        shown = "␣" if character == " " else character
        found += ["·"] * (len(character.encode()) - 1) + [shown]
    return found
