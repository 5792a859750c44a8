"""What the table of transplants says, computed: who is ahead by more than the standard error.

Two results on the same documents are compared by the ratio of their bits per byte, whose standard
error is paired by document. One is ahead where the ratio lies further from 1 than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tables import markdown_table

from tokxfer.workflows.evaluation import Ratio

Figures = dict[str, Any]


def said(studies: list[Figures]) -> str:
    """Every comparison in a sentence, then pair by pair."""
    rows = [row(study) for study in studies]
    duels = ("our best", "omp", "hybrid : local", "hybrid : subword")
    named = [[found[place] for found in rows] for place in range(len(duels))]
    sentences = [
        sentence("tokxfer's best keeps more than mergekit's best", named[0]),
        sentence(
            "`omp`, at the best of its defaults, its best k and `--twins mean`, keeps more than "
            "mergekit's at the best of its settings",
            named[1],
        ),
        sentence("TokenAdapt's hybrid keeps more than its local part", named[2]),
        sentence("TokenAdapt's hybrid keeps more than ReTok's means of pieces", named[3]),
    ]
    told = [text for text in sentences if text]
    if not told:
        return ""
    table = []
    for study, found in zip(studies, rows, strict=True):
        ours, theirs = (top(study["runs"], tool) for tool in ("tokxfer", "mergekit"))
        names = [name(run) if run else "" for run in (ours, theirs)]
        table.append([study["pair"], *names, *(cell(ratio) for ratio in found)])
    columns = (
        "base ← donor", "tokxfer's best", "mergekit's best", "best : best", "omp : omp",
        "hybrid : local", "hybrid : ReTok",
    )  # fmt: skip
    return (
        "\n".join(f"- {text}" for text in told) + "\n\n" + markdown_table(columns, table, "lllrrrr")
    )


def row(study: Figures) -> list[Ratio | None]:
    """The four ratios of one pair; None where a side did not run."""
    runs = study["runs"]
    ours, theirs = top(runs, "tokxfer"), top(runs, "mergekit")
    hybrid = default(runs, "tokenadapt-hybrid")
    return [
        between(ours, theirs),
        between(top(runs, "tokxfer", "omp"), top(runs, "mergekit", "omp")),
        between(hybrid, default(runs, "tokenadapt-local")),
        between(hybrid, default(runs, "subword-uniform") or default(runs, "subword")),
    ]


def top(runs: list[Figures], tool: str, method: str | None = None) -> Figures | None:
    """The run of a tool that keeps most."""
    found = [
        run
        for run in runs
        if run["tool"] == tool and "failed" not in run and method in (None, run["method"])
    ]
    return min(found, key=lambda run: run["bits_per_byte"], default=None)


def default(runs: list[Figures], method: str) -> Figures | None:
    """tokxfer's run of a method with nothing set."""
    plain = [run for run in runs if run["k"] is None and not run["flags"]]
    return top(plain, "tokxfer", method)


def between(one: Figures | None, other: Figures | None) -> Ratio | None:
    """Bits per byte of one result over another's, paired by document."""
    if one is None or other is None:
        return None
    return Ratio.of(np.array(one["nats"]), np.array(other["nats"]))


def standing(ratio: Ratio) -> int:
    """1 if the first is ahead by more than the standard error, -1 if behind, 0 if neither."""
    apart = 1 - ratio.value
    return 0 if ratio.stderr is None or abs(apart) <= ratio.stderr else 1 if apart > 0 else -1


def sentence(claim: str, found: list[Ratio | None]) -> str:
    """On how many pairs a claim holds, is open, or is wrong."""
    places = [standing(ratio) for ratio in found if ratio is not None]
    if not places:
        return ""
    ahead, even, behind = (places.count(place) for place in (1, 0, -1))
    return (
        f"{claim} by more than the standard error of their difference on {ahead} of {len(places)} "
        f"pairs; on {even} they differ by less, on {behind} it keeps less."
    )


def cell(ratio: Ratio | None) -> str:
    """A ratio with its error, and who is ahead."""
    if ratio is None:
        return ""
    error = "" if ratio.stderr is None else f" ± {ratio.stderr:.3f}"
    return f"{ratio.value:.3f}{error} {'=+-'[standing(ratio)]}"


def name(run: Figures) -> str:
    """A run's method and settings, short."""
    k = "" if run["k"] is None else f", k {run['k']}"
    flags = f", `{' '.join(run['flags'])}`" if run["flags"] else ""
    return f"{run['method']}{k}{flags}"
