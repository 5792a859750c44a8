"""The picture of `gap.py`: shares by method, a panel a pair; mean is 0, the oracle is 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gap_page as pages
from plots import picture, without_sides

COLOR = "#0b6e99"
LEAST = -0.6  # what lies further left is drawn as an arrow at the edge


def draw(studies: list[dict[str, Any]], path: Path) -> None:
    """Draw the share of every method on every pair, with its standard error."""
    methods = pages.methods(studies)
    across = min(3, len(studies))
    down = -(-len(studies) // across)
    size = (1.6 + 2.5 * across, 0.6 + (0.5 + 0.17 * len(methods)) * down)
    with picture(path, down, across, sharex=True, sharey=True, figsize=size) as (figure, axes):
        for axis in axes.flat[len(studies) :]:
            axis.set_axis_off()
        for axis, study in zip(axes.flat, studies, strict=False):
            panel(axis, study, methods)
        axes[0][0].set_yticks(range(len(methods)), methods)
        axes[0][0].set_xlim(LEAST, 1.08)
        figure.supxlabel("share of the gap recovered: mean 0, oracle 1", fontsize=9)


def panel(axis: Any, study: dict[str, Any], methods: list[str]) -> None:
    """One pair on one text."""
    found = study["summary"]["methods"]
    for at, name in enumerate(methods):
        if name not in found:
            continue
        value, error = found[name]["value"], found[name]["stderr"]
        if value < LEAST:
            axis.plot([LEAST + 0.04], [at], marker="<", color=COLOR, markersize=5)
            continue
        axis.errorbar(value, at, xerr=error, fmt="o", color=COLOR, markersize=4, linewidth=1)
    for place in (0.0, 1.0):
        axis.axvline(place, color="0.6", linewidth=0.8)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    tied = "tied" if study["tied"] else "untied"
    axis.set_title(
        f"{study['pair']}\n{study['domains']}, base {tied}, {study['text']} text", fontsize=8
    )
    axis.grid(axis="x", color="0.92", linewidth=0.6)
    without_sides(axis, ("top", "right", "left"))
    axis.tick_params(axis="y", length=0)
