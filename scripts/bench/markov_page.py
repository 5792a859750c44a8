"""The table of `markov.py`, from the document that it writes as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from tables import markdown_table

VISIBLE = 0.01
Figures = dict[str, Any]
PICTURE = "What each method's law of the next byte is off by, at every cut of a text, by family"


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, the table, the picture."""
    parts = [surroundings(document), table(document)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    parts += [f"Left out: {name}. {why}" for name, why in document["skipped"].items()]
    return "\n\n".join(parts)


def surroundings(document: Figures) -> str:
    """What was run, with what, where, on what."""
    place = document["environment"]
    versions = [f"tokxfer {place['tokxfer']}"]
    versions += [document["genlm"].replace("==", " ")] if document["genlm"] else []
    versions += [f"torch {place['packages']['torch']}", f"Python {place['python']}"]
    cases = "; ".join(
        f"{case['family']}: {case['ids']} ids, {case['states']} states, {len(case['texts'])} texts "
        f"of {sum(map(len, case['texts'])) // 2:,} bytes"
        for case in document["cases"]
    )
    return (
        f"`{document['command']}`, seed {document['seed']}; {', '.join(versions)}; "
        f"{place['platform']}, {place['cpus']} cores. "
        f"Sources are of order {document['order']}. {cases}."
    )


def table(document: Figures) -> str:
    """Per family and method: the errors over all cuts."""
    rows = []
    for family in dict.fromkeys(run["family"] for run in document["runs"]):
        runs = [run for run in document["runs"] if run["family"] == family]
        for at, method in enumerate(methods(runs)):
            off = [run["off"] for run in runs if run["method"] == method]
            known = np.array([value for value in off if value is not None])
            name = f"**{method}**" if method == "ByteLM" else method
            rows.append([
                "" if at else family, name, f"{len(known):,}", short(known.mean()),
                short(np.median(known)), short(known.max()), f"{np.mean(known > VISIBLE):.0%}",
            ])  # fmt: skip
    columns = ["family", "method", "prompts", "mean", "median", "largest", f"over {VISIBLE}"]
    return markdown_table(columns, rows, "llrrrrr")


def methods(runs: list[Figures]) -> list[str]:
    """Every method, ByteLM last."""
    found = dict.fromkeys(run["method"] for run in runs)
    return sorted(found, key="ByteLM".__eq__)


def short(value: float) -> str:
    """A distance: as it is, or its order of magnitude."""
    return f"{value:.3f}" if value >= 1e-3 else f"{value:.0e}"


def relative(picture: Path, page: Path | None) -> str:
    """The picture as a page names it."""
    folder = page.parent if page else Path()
    return os.path.relpath(picture.resolve(), folder.resolve())
