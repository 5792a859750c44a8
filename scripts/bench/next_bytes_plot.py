"""The picture of `next_bytes.py`: a panel a prompt, and in it bars by byte and method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import next_bytes_page as pages
from plots import picture, without_sides

COLORS = {"tokens": "#c44e52", "healing": "#dd8452", "bytes": "#0b6e99"}
COLUMNS, BARS = 4, 4  # panels side by side, and bytes in each
THICK = 0.26
Figures = dict[str, Any]


def draw(document: Figures, path: Path) -> None:
    """Draw a panel for every prompt."""
    prompts = document["prompts"]
    across = min(COLUMNS, len(prompts))
    down = -(-len(prompts) // across)
    size = (2.7 * across, 0.6 + 2.0 * down)
    with picture(path, down, across, sharex=True, figsize=size) as (figure, axes):
        for axis in axes.flat[len(prompts) :]:
            axis.set_axis_off()
        for axis, prompt in zip(axes.flat, prompts, strict=False):
            panel(axis, prompt)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.supxlabel("probability of the next byte", fontsize=9)


def panel(axis: Any, prompt: Figures) -> None:
    """One prompt."""
    outcomes = chosen(prompt)
    places = range(len(outcomes))
    true = outcomes.index(prompt["next"])
    axis.axhspan(true - 0.48, true + 0.48, color="#ffe9a8", lw=0, label="the byte that follows")
    for at, (method, name) in enumerate(pages.NAMES.items()):
        widths = [prompt["laws"][method][outcome] for outcome in outcomes]
        heights = [place + THICK * (at - 1) for place in places]
        axis.barh(heights, widths, THICK * 0.9, color=COLORS[method], label=name)
    axis.set_yticks(places, [pages.sign(outcome) for outcome in outcomes], family="monospace")
    axis.get_yticklabels()[true].set_fontweight("bold")
    axis.set_ylim(len(outcomes) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    title = "…" + pages.shown(pages.tail_of(prompt)).replace("$", r"\$") + "▏"
    axis.set_title(title, fontsize=8, loc="left", family="monospace")
    axis.grid(axis="x", color="0.92", lw=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    without_sides(axis)


def chosen(prompt: Figures) -> list[int]:
    """The outcomes that are drawn: that which follows, and those likeliest by any method."""
    laws = [prompt["laws"][method] for method in pages.NAMES]
    most = [max(values) for values in zip(*laws, strict=True)]
    others = sorted(range(len(most)), key=lambda outcome: -most[outcome])
    kept = [prompt["next"], *(one for one in others if one != prompt["next"])][:BARS]
    return sorted(kept, key=lambda outcome: -prompt["laws"]["bytes"][outcome])
