"""The picture of `recovery.py`: the share of the gap closed by steps, a panel a pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plots import picture, without_sides
from recovery_page import AIM, closed

COLORS = {"alm": "#0b6e99", "sft": "#c05621"}
OTHER = "#555555"
STYLES = ("-", "--", ":", "-.")  # by start


def draw(curves: list[dict[str, Any]], path: Path) -> None:
    """Draw the share closed behind each number of steps, with its standard error."""
    names = list(dict.fromkeys(curve["pair"] for curve in curves))
    starts = list(dict.fromkeys(curve["start"] for curve in curves))
    size = (1.2 + 3.4 * len(names), 3.0)
    with picture(path, 1, len(names), sharey=True, figsize=size) as (figure, axes):
        for axis, name in zip(axes[0], names, strict=True):
            for curve in curves:
                if curve["pair"] == name:
                    line(axis, curve, STYLES[starts.index(curve["start"]) % len(STYLES)])
            axis.axhline(AIM, color="0.8", linewidth=0.8)
            axis.axhline(1, color="0.6", linewidth=0.8)
            axis.set_xscale("symlog", linthresh=30)
            axis.set_xticks([0, 50, 300, 3000], ["0", "50", "300", "3,000"])
            axis.minorticks_off()
            axis.set_title(name, fontsize=9)
            without_sides(axis)
        axes[0][0].set_ylabel("share of the gap closed")
        axes[0][0].legend(fontsize=8, frameon=False)
        figure.supxlabel("steps", fontsize=9)


def line(axis: Any, curve: dict[str, Any], style: str) -> None:
    """One objective from one start."""
    points = {int(steps): closed(curve, steps) for steps in curve["points"]}
    there = {steps: found for steps, found in points.items() if found is not None}
    axis.errorbar(
        [0, *there],
        [0.0, *(found.value for found in there.values())],
        yerr=[0.0, *(found.stderr for found in there.values())],
        fmt="o" + style, markersize=4, linewidth=1.2,
        color=COLORS.get(curve["objective"], OTHER),
        label=f"{curve['objective']} from {curve['start']}",
    )  # fmt: skip
