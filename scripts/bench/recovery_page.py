"""The tables of `recovery.py`, from the document that it writes as JSON."""

from __future__ import annotations

from typing import Any

from distill_page import lacking, outdated, surroundings
from gap_share import Share, share
from tables import markdown_table

Figures = dict[str, Any]
PICTURE = "Share of what a transplant lost that training gives back, by steps"
AIM, BY = 0.5, 300  # the share that is aimed at, and by which step


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, how to read it, the shares, whether the aim is met, the picture."""
    parts = [surroundings(document), reading(document), table(document), verdict(document)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    parts += [missing(document), stale(document)]
    return "\n\n".join(part for part in parts if part)


def short(document: Figures, picture: str | None) -> str:
    """A sentence and the picture."""
    parts = [f"`{document['command']}`: {verdict(document)}"]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    return "\n\n".join(parts)


def reading(document: Figures) -> str:
    """How the figures came about, in one paragraph."""
    return (
        f"Steps of {document['batch']} rows of {document['length']} tokens, all weights trained, "
        f"at {document['rate']:g} times the default learning rate; each number of steps is a "
        "training of its own. A share is (transplant − trained) / (transplant − base) in held-out "
        "bits per byte: 1 is as good as the base, which read the training text itself when it was "
        "trained. ± puts together the standard errors over documents and over seeds, which are "
        "the order of the data."
    )


def closed(curve: Figures, steps: str) -> Share | None:
    """The share of the gap that is closed behind some steps; None where that is not known."""
    runs = curve["points"][steps]
    if not runs or curve["before"] is None:
        return None
    before, count = curve["before"], len(runs)
    trained = [run["nats"] for run in runs.values()]
    return share([before["nats"]] * count, trained, [before["teacher"]["nats"]] * count)


def table(document: Figures) -> str:
    """A row per pair, start and objective; a column per number of steps."""
    numbers = [str(steps) for steps in sorted(document["steps"]) if steps]
    columns = ["base ← donor", "start", "base", "0 steps", "objective", *map(counted, numbers)]
    rows, last = [], ("", "")
    for curve in document["curves"]:
        before = curve["before"]
        known = ["", ""]
        if before is not None:
            bits = (before["teacher"]["bits_per_byte"], before["bits_per_byte"])
            known = [f"{value:.3f}" for value in bits]
        here = (curve["pair"], curve["start"])
        first = ["", "", "", ""] if here == last else [curve["pair"], f"`{curve['start']}`", *known]
        cells = [cell(closed(curve, steps)) for steps in numbers]
        rows.append([*first, f"`{curve['objective']}`", *cells])
        last = here
    return markdown_table(columns, rows, "llrrl" + "r" * len(numbers))


def counted(steps: str) -> str:
    """A number of steps as a column's title."""
    return f"{int(steps):,} steps"


def cell(found: Share | None) -> str:
    """A share with its error, or nothing."""
    return "" if found is None else f"{found.value:.2f} ± {found.stderr:.2f}"


def verdict(document: Figures) -> str:
    """Whether half of the gap is closed by 300 steps, for each curve that is measured so far."""
    told = []
    for curve in document["curves"]:
        found = closed(curve, str(BY)) if str(BY) in curve["points"] else None
        if found is not None:
            told.append((found.value >= AIM, f"{found.value:.0%} {described(curve)}"))
    if not told:
        return f"{BY} steps are not measured yet."
    met = sum(reached for reached, _ in told)
    return (
        f"By {BY} steps at least half of the gap is closed on {met} of {len(told)} ways: "
        + "; ".join(text for _, text in told)
        + "."
    )


def described(curve: Figures) -> str:
    """A curve in words."""
    return f"by `{curve['objective']}` from `{curve['start']}` ({curve['pair']})"


def missing(document: Figures) -> str:
    """How much of all that was asked for is not measured."""
    cells = [runs for curve in document["curves"] for runs in curve["points"].values()]
    wanted, there = len(cells) * len(document["seeds"]), sum(map(len, cells))
    return lacking(wanted - there, wanted)


def stale(document: Figures) -> str:
    """How many figures come from other sources of losses than those that are there now."""
    return outdated(
        run["sources"] == document["sources"][curve["objective"]]
        for curve in document["curves"]
        for found in curve["points"].values()
        for run in found.values()
    )
