"""The picture of `covers.py`: shares by horizon, by place, and along the bytes of one text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cover_page as pages
import numpy as np
from plots import picture, without_sides

COLORS = ("#0b6e99", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#64b5cd")
LEAST = 1e-6  # what is smaller is drawn here
LONG = 96  # bytes of the text that is drawn
SHORT = {"inside a token": "inside\na token", "at a token's end": "at a token's\nend",
         "behind surprises": "behind\nsurprises", "elsewhere": "elsewhere"}  # fmt: skip
Figures = dict[str, Any]


def draw(document: Figures, path: Path) -> None:
    """Draw the three panels."""
    with picture(path, figsize=(9.2, 6.0)) as (figure, _):
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.15))
        left = figure.add_subplot(grid[0, 0])
        right = figure.add_subplot(grid[0, 1], sharey=left)
        below = figure.add_subplot(grid[1, :])
        by_horizon(left, document)
        by_place(right, document)
        along(below, document)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8,
                      frameon=False, handlelength=1.4, columnspacing=1.6)  # fmt: skip
        for axis in (left, right, below):
            axis.set_axisbelow(True)
            axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
            without_sides(axis)


def by_horizon(axis: Any, document: Figures) -> None:
    """Mean shares with their standard errors."""
    horizons = document["horizons"]
    for run, look in zip(document["runs"], looks(document), strict=True):
        found = [pages.mean_share(run, horizon) for horizon in horizons]
        means = np.array([ratio.value for ratio in found])
        errors = np.array([ratio.stderr or 0.0 for ratio in found])
        label = f"{run['model']}, {run['text']}"
        axis.plot(horizons, means, marker="o", ms=4, lw=1.4, label=label, **look)
        low, color = np.maximum(means - errors, means / 10), look["color"]
        axis.fill_between(horizons, low, means + errors, color=color, alpha=0.15, lw=0)
    axis.set_yscale("log")
    axis.set_xticks(horizons)
    axis.set_xlabel("horizon in bytes")
    axis.set_title("mean share of mass that is not canonical", fontsize=9, loc="left")
    axis.grid(color="0.92", lw=0.6)


def by_place(axis: Any, document: Figures) -> None:
    """Mean shares by where beginnings end, at the widest horizon."""
    runs, places = document["runs"], pages.PLACES
    for at, (run, look) in enumerate(zip(runs, looks(document), strict=True)):
        found = [pages.share_at(run, document, place) for place in places]
        across = np.arange(len(places)) + 0.13 * (at - (len(runs) - 1) / 2)
        means = np.array([ratio.value for ratio in found])
        errors = np.array([ratio.stderr or 0.0 for ratio in found])
        axis.errorbar(across, means, yerr=[np.minimum(errors, 0.9 * means), errors], marker="o",
                      ms=4, elinewidth=1.2, **look | {"linestyle": "none"})  # fmt: skip
    axis.axvline(1.5, color="0.8", lw=0.8)
    axis.set_xticks(range(len(places)), [SHORT[place] for place in places])
    axis.tick_params(axis="y", labelleft=False)
    title = f"by place, at a horizon of {pages.widest(document)} bytes"
    axis.set_title(title, fontsize=9, loc="left")
    axis.grid(axis="y", color="0.92", lw=0.6)


def along(axis: Any, document: Figures) -> None:
    """The share at every byte of one text, under the first model."""
    run, color = document["runs"][0], COLORS[0]
    row = run["documents"][document["drawn"] % len(run["documents"])]
    data = bytes.fromhex(row["hex"])[:LONG]
    here = np.arange(len(data))
    wide, narrow = pages.widest(document), min(document["horizons"])
    shares = np.maximum(np.array(row["shares"][str(wide)])[: len(data)], LEAST)
    least = np.maximum(np.array(row["shares"][str(narrow)])[: len(data)], LEAST)
    axis.fill_between(here, LEAST, shares, color=color, alpha=0.12, lw=0)
    axis.plot(here, shares, color=color, lw=1.4, label=f"horizon {wide}")
    axis.plot(here, least, color=color, lw=0.9, ls=(0, (2, 1.5)), label=f"horizon {narrow}")
    ends = np.flatnonzero(~np.array(row["inside"])[: len(data)])
    axis.plot(ends, shares[ends], "o", color=color, ms=3.5, label="end of a token")
    for end in ends:
        axis.axvline(end + 0.5, color="0.9", lw=0.7, zorder=0)
    axis.set_yscale("log")
    axis.set_ylim(LEAST, 1.5)
    axis.set_xlim(-0.7, len(data) - 0.3)
    axis.set_xticks(here, labels_of(data), family="monospace", fontsize=8)
    axis.tick_params(axis="x", length=0)
    title = f"along a text, {run['model']}; upright lines part the text's tokens"
    axis.set_title(title, fontsize=9, loc="left")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), borderaxespad=0.0, ncols=3,
                fontsize=8, frameon=False)  # fmt: skip


def looks(document: Figures) -> list[Figures]:
    """For each run: a colour for its model, and hollow dots for its second text."""
    models = list(dict.fromkeys(run["model"] for run in document["runs"]))
    first = {run["model"]: run["text"] for run in reversed(document["runs"])}
    found = []
    for run in document["runs"]:
        again = run["text"] != first[run["model"]]
        color = COLORS[models.index(run["model"]) % len(COLORS)]
        hollow = {"markerfacecolor": "white", "linestyle": (0, (4, 1.5))} if again else {}
        found.append({"color": color} | hollow)
    return found


def labels_of(data: bytes) -> list[str]:
    """A letter for every byte; a dot for what has none of its own."""
    shown = {" ": "␣", "\n": "↵", "\t": "→"}
    letters = (chr(value) for value in data)
    return [shown.get(one, one if one.isascii() and one.isprintable() else "·") for one in letters]
