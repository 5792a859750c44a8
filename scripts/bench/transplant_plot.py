"""The picture of `transplant.py`: ratios by method, a panel a pair, mergekit's beside tokxfer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transplant_page as pages
from plots import picture, without_sides

OURS, THEIRS = "#0b6e99", "#c2571a"
TICKS = (0.6, 0.8, 1, 1.2, 1.5, 2, 3, 4, 6, 10)


def draw(studies: list[dict[str, Any]], path: Path) -> None:
    """Draw the ratio of every method on every pair; points further right lost more."""
    from matplotlib import ticker

    methods = list(dict.fromkeys(run["method"] for study in studies for run in study["runs"]))
    across = min(3, len(studies))
    down = -(-len(studies) // across)
    size = (1.2 + 2.5 * across, 0.6 + (0.6 + 0.2 * len(methods)) * down)
    with picture(path, down, across, sharex=True, sharey=True, figsize=size) as (figure, axes):
        for axis in axes.flat[len(studies) :]:
            axis.set_axis_off()
        for axis, study in zip(axes.flat, studies, strict=False):
            panel(axis, study, methods)
            axis.xaxis.set_major_locator(ticker.FixedLocator(TICKS))
            axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.xaxis.set_minor_locator(ticker.NullLocator())
        axes[0][0].set_yticks(range(len(methods)), methods)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel("bits per byte after : before", fontsize=9)


def panel(axis: Any, study: dict[str, Any], methods: list[str]) -> None:
    """One pair: tokxfer's defaults as discs, mergekit's best as squares."""
    runs = study["runs"]
    series = (
        ("tokxfer", OURS, "o", OURS, [pages.only(runs, "tokxfer", name) for name in methods]),
        ("mergekit, its best setting", THEIRS, "s", "none",
         [pages.best(runs, "mergekit", name) for name in methods]),
    )  # fmt: skip
    for label, color, marker, face, found in series:
        points = [
            (run["ratio"], at, run["ratio_stderr"] or 0.0)
            for at, run in enumerate(found)
            if run and "ratio" in run
        ]
        if points:
            ratios, places, errors = zip(*points, strict=True)
            axis.errorbar(
                ratios, places, xerr=errors, fmt=marker, color=color, markerfacecolor=face,
                markersize=5, linewidth=1, label=label,
            )  # fmt: skip
    axis.axvline(1.0, color="0.6", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_title(study["pair"], fontsize=8)
    axis.grid(axis="x", color="0.92", linewidth=0.6)
    without_sides(axis, ("top", "right", "left"))
    axis.tick_params(axis="y", length=0)
