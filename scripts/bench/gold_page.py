"""The page of `gold.py`: times and memory by size, and what TRL's two ways of merging cost."""

from __future__ import annotations

from typing import Any

from tables import markdown_table

Figures = dict[str, Any]


def page(document: Figures) -> str:
    """What was run, and its tables."""
    runs = document["runs"]
    parts = [surroundings(document), table(runs)]
    if any(run["way"] == "trl-default" for run in runs):
        parts.append(strategies(runs))
    return "\n\n".join(parts)


def surroundings(document: Figures) -> str:
    """What was run, with what, where."""
    place, versions = document["environment"], dict[str, str]()
    for run in document["runs"]:
        versions |= run.get("versions", {})
    named = ", ".join(
        f"{name} {versions[key]}"
        for key, name in (
            ("tokxfer", "tokxfer"), ("trl", "TRL"), ("torch", "torch"),
            ("transformers", "TRL's transformers"),
        )
        if key in versions
    )  # fmt: skip
    return (
        f"`{document['command']}`, seed {document['seed']}, {document['threads']} threads; "
        f"{named}, Python {place['python']}; {place['platform']}, {place['cpus']} cores. Width "
        f"{document['dim']}, {document['matched']:.0%} of the ids matched, single precision; the "
        f"least of {document['times']} runs, which end at {document['limit']:g} CPU seconds. “Loss "
        "alone” is TRL's time without the products with both heads, which the other times hold."
    )


def table(runs: list[Figures]) -> str:
    """A row a size: seconds, how much faster, megabytes, how much leaner, and how equal."""
    columns = ["vocabulary", "texts", "tokens", "TRL CPU s", "loss alone", "gold CPU s",
               "alm CPU s", "gold faster", "alm faster", "TRL MB", "gold MB", "alm MB",
               "gold leaner", "alm leaner", "TRL's loss", "gold's loss",
               "gradients apart"]  # fmt: skip
    rows: list[list[object]] = []
    for ways in by_size(runs):
        gold, alm, trl = ways["gold"], ways["alm"], ways.get("trl", {})
        rows.append([
            f"{gold['vocab']:,}", gold["batch"], gold["tokens"],
            seconds(trl), number(trl.get("head_seconds") and trl["seconds"] - trl["head_seconds"]),
            *(f"{each['seconds']:.2f}" for each in (gold, alm)),
            *(ratio(trl, each, "seconds") for each in (gold, alm)),
            *(megabytes(each) for each in (trl, gold, alm)),
            *(ratio(trl, each, "extra_bytes") for each in (gold, alm)),
            f"{trl['loss']:.6f}" if "loss" in trl else "", f"{gold['loss']:.6f}",
            f"{gold['apart']:.0e}" if "apart" in gold else "",
        ])  # fmt: skip
    return markdown_table(columns, rows, "r" * len(columns))


def strategies(runs: list[Figures]) -> str:
    """TRL's default against its exact flag, at one text."""
    columns = ["vocabulary", "tokens", "observed CPU s", "bayesian CPU s", "× observed",
               "observed's loss", "bayesian's loss", "observed off by nats", "bayesian off by nats",
               "cosine of gradients"]  # fmt: skip
    rows: list[list[object]] = []
    for ways in by_size(runs):
        exact, default = ways.get("trl", {}), ways.get("trl-default", {})
        if "loss" not in exact or "loss" not in default:
            continue
        rows.append([
            f"{exact['vocab']:,}", exact["tokens"],
            *(f"{each['seconds']:.2f}" for each in (default, exact)),
            f"{exact['seconds'] / default['seconds']:.2f}",
            *(f"{each['loss']:.6f}" for each in (default, exact)),
            *(f"{each['nats']:.2f}" for each in (default, exact)),
            f"{default['cosine']:.3f}",
        ])  # fmt: skip
    return markdown_table(columns, rows, "r" * len(columns))


def by_size(runs: list[Figures]) -> list[dict[str, Figures]]:
    """The runs of each size, by way."""
    found: dict[tuple[int, ...], dict[str, Figures]] = {}
    for run in runs:
        found.setdefault((run["vocab"], run["batch"], run["tokens"]), {})[run["way"]] = run
    return list(found.values())


def seconds(run: Figures) -> str:
    """A time, or that it was too long: at this size, or already at a shorter text."""
    if "over" not in run:
        return number(run.get("seconds"))
    return f"> {run['over']:g}" + (f" at {run['at']}" if "at" in run else "")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def megabytes(run: Figures) -> str:
    """Memory; at least so much where the run was ended."""
    if "extra_bytes" not in run:
        return ""
    return ("> " if "over" in run else "") + f"{run['extra_bytes'] / 1e6:,.0f}"


def ratio(trl: Figures, ours: Figures, what: str) -> str:
    """How many times this package's figure TRL's is, at least where its run was ended."""
    if not trl:
        return ""
    ended = "over" in trl
    value = trl.get(what, trl["over"] if ended and what == "seconds" else None)
    return "" if value is None else ("> " if ended else "") + f"{value / ours[what]:.2f}"
