"""The tables of `transplant.py`, from the document that it writes as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from tables import markdown_table

from tokxfer.workflows.evaluation import Ratio

Figures = dict[str, Any]
PICTURE = "Bits per byte after a transplant over bits per byte before, by pair and method"


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, results, tools compared, ratios by k."""
    studies = document["pairs"]
    parts = [surroundings(document), reading(document), results(studies, detailed=True)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    if document["mergekit"]:
        parts += [
            "tokxfer against mergekit: bits per byte of one result over that of another, with the "
            "standard error over documents; below 1 tokxfer keeps more.",
            duel(studies),
        ]
    if any(study["ks"] for study in studies):
        parts += ["Ratio to the base at every fixed k:", by_k(studies)]
    return "\n\n".join(parts)


def short(document: Figures, picture: str | None) -> str:
    """The results, and how to read them, for the first page."""
    parts = [results(document["pairs"], detailed=False)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    return "\n\n".join([*parts, reading(document)])


def surroundings(document: Figures) -> str:
    """What was run, with what, where, on which text."""
    packages, text = document["environment"]["packages"], document["text"]
    peer = [document["mergekit"].replace("==", " ")] if document["mergekit"] else []
    versions = [
        f"tokxfer {document['environment']['tokxfer']}",
        *peer,
        *(f"{name} {packages[name]}" for name in ("torch", "transformers")),
        f"Python {document['environment']['python']}",
    ]
    return (
        f"`{document['command']}`, seed {document['seed']}, {document['threads']} threads; "
        f"{', '.join(versions)}; {document['environment']['platform']}, "
        f"{document['environment']['cpus']} cores. Text: `{text['name']}`, "
        f"{text['documents']} documents, {text['bytes']:,} bytes, sha256 of them "
        f"`{text['sha256'][:16]}`."
    )


def reading(document: Figures) -> str:
    """How the figures came about, in one paragraph."""
    said = (
        "`omp` takes its defaults, tuned on held-out anchors without any text. Seconds and memory "
        "are those of the whole command, start of Python included; ± is the standard error over "
        f"{document['text']['documents']} documents, paired with the base."
    )
    if any(study["ks"] for study in document["pairs"]):
        said += (
            " “Best k” is chosen on the very text it is judged by, from the same values for both "
            "tools, at most a third of the narrower width."
        )
    if document["mergekit"]:
        said += (
            " mergekit's rows show the better of the folders as they are and of copies that name "
            "the tokenizers' classes (“named”), and for OMP also of its `--byte-match` and "
            "`--magikarp`, chosen on that text too."
        )
    return said


def results(studies: list[Figures], *, detailed: bool) -> str:
    """One row per pair and method."""
    columns = ["base ← donor", "method", "bits/byte", "ratio", "copied / new", "s", "MB"]
    if detailed:
        columns += ["CPU s", "tokens"]
    rows: list[list[object]] = []
    for study in studies:
        base = study["base_figures"]
        cells = [study["pair"], "*base*", f"{base['bits_per_byte']:.3f}", "1"]
        extra = ["", f"{base['tokens']:,}"] if detailed else []
        rows.append([*cells, "", "", "", *extra])
        for label, run in picks(study, detailed=detailed):
            if "failed" in run:
                rows.append(["", label, *[""] * (len(columns) - 3), f"failed: {run['failed']}"])
                continue
            cells = [
                *("", label, f"{run['bits_per_byte']:.3f}", ratio(run)),
                f"{run['copied']:,} / {run['approximated']:,}",
                *(f"{run['wall_seconds']:.1f}", f"{run['peak_bytes'] / 1e6:,.0f}"),
            ]
            extra = [f"{run['cpu_seconds']:.1f}", f"{run['tokens']:,}"] if detailed else []
            rows.append([*cells, *extra])
    return markdown_table(columns, rows, "llrrrrrrr"[: len(columns)])


def picks(study: Figures, *, detailed: bool) -> list[tuple[str, Figures]]:
    """The runs that a table shows, with their names."""
    runs, shown = study["runs"], []
    for method in dict.fromkeys(run["method"] for run in runs):
        default = only(runs, "tokxfer", method)
        shown += [(f"**{method}**" if method == "omp" else method, default)] if default else []
        if method == "omp" and (fixed := best(runs, "tokxfer", "omp", fixed=True)):
            shown.append((f"omp, best k ({fixed['k']})", fixed))
        if peer := best(runs, "mergekit", method) or only(runs, "mergekit", method):
            how = ", best k" if method == "omp" else ""
            shown.append((f"mergekit {method}{how}{setting(peer)}", peer))
        if detailed and method == "omp" and (usual := usual_peer(study)):
            shown.append((f"mergekit omp, as it comes{setting(usual)}", usual))
    return shown


def usual_peer(study: Figures) -> Figures | None:
    """mergekit's OMP with nothing set but the k nearest to its default that the width allows."""
    as_is = [
        run
        for run in study["runs"]
        if (run["tool"], run["method"], run["named"]) == ("mergekit", "omp", False)
        and not run["flags"]
    ]
    return max(as_is, key=lambda run: run["k"], default=None)


def only(runs: list[Figures], tool: str, method: str) -> Figures | None:
    """The run of a tool's method with nothing set, or its first one."""
    found = [run for run in runs if (run["tool"], run["method"]) == (tool, method)]
    return next((run for run in found if run["k"] is None), found[0] if found else None)


def best(runs: list[Figures], tool: str, method: str, *, fixed: bool = False) -> Figures | None:
    """The run of a tool's method that keeps most (fixed: of those with k given)."""
    found = [
        run
        for run in runs
        if (run["tool"], run["method"]) == (tool, method)
        and "failed" not in run
        and (run["k"] is not None or not fixed)
    ]
    return min(found, key=lambda run: run["bits_per_byte"], default=None)


def setting(run: Figures) -> str:
    """What was set, in brackets."""
    k = [] if run["k"] is None else [str(run["k"])]
    flags = [f"`{' '.join(run['flags'])}`"] if run["flags"] else []
    words = [*k, *(["named"] if run["named"] else []), *flags]
    return f" ({', '.join(words)})" if words else ""


def against(result: Figures, base: Figures) -> Figures:
    """Bits per byte of one result over another's, paired by document."""
    if "failed" in result or "failed" in base:
        return {}
    found = Ratio.of(np.array(result["nats"]), np.array(base["nats"]))
    return {"ratio": found.value, "ratio_stderr": found.stderr}


def ratio(figures: Figures) -> str:
    """A ratio with its standard error."""
    if "ratio" not in figures:
        return ""
    error = figures["ratio_stderr"]
    return f"{figures['ratio']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def duel(studies: list[Figures]) -> str:
    """tokxfer's OMP against mergekit's, its default and its best k."""
    rows = []
    for study in studies:
        ours = only(study["runs"], "tokxfer", "omp")
        fixed = best(study["runs"], "tokxfer", "omp", fixed=True)
        usual, theirs = usual_peer(study), best(study["runs"], "mergekit", "omp")
        duels = ((ours, usual), (ours, theirs), (fixed, theirs))
        rows.append([study["pair"], *(ratio(against(a, b)) if a and b else "" for a, b in duels)])
    columns = ("base ← donor", "defaults of both", "default : best k", "best k : best k")
    return markdown_table(columns, rows, "lrrr")


def by_k(studies: list[Figures]) -> str:
    """Ratios at every k: tokxfer's, and mergekit's at its better naming."""
    sizes = sorted({k for study in studies for k in study["ks"]})
    rows = []
    for study in studies:
        for tool in ("tokxfer", "mergekit"):
            found = [best(of_k(study["runs"], k), tool, "omp") for k in sizes]
            if any(found):
                cells = [f"{run['ratio']:.3f}" if run else "" for run in found]
                rows.append([study["pair"], tool, *cells])
    return markdown_table(["base ← donor", "tool", *map(str, sizes)], rows, "ll" + "r" * len(sizes))


def of_k(runs: list[Figures], k: int) -> list[Figures]:
    return [run for run in runs if run["k"] == k and not run["flags"]]
