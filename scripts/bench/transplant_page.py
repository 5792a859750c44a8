"""The tables of `transplant.py`, from the document that it writes as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import transplant_verdicts as verdicts
from tables import markdown_table

from tokxfer.workflows.evaluation import Ratio

Figures = dict[str, Any]
PICTURE = "Bits per byte after a transplant over bits per byte before, by pair and method"


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, verdicts, results, ratios by k, what did not run."""
    studies = document["pairs"]
    parts = [surroundings(document), reading(document), matrix(studies), verdicts.said(studies)]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    parts += ["Every method of every pair:", results(studies, detailed=True)]
    if document["mergekit"]:
        parts += [
            "tokxfer's omp against mergekit's: bits per byte of one result over that of another, "
            "with the standard error over documents; below 1 tokxfer keeps more.",
            duel(studies),
        ]
    if any(study["ks"] for study in studies):
        parts += [
            "Ratio to the base at every fixed k, of mergekit's other settings the better ones:",
            by_k(studies),
        ]
    return "\n\n".join([*parts, *failures(studies)])


def short(document: Figures, picture: str | None) -> str:
    """One matrix of ratios, what it says, and how to read it, for the first page."""
    parts = [matrix(document["pairs"]), verdicts.said(document["pairs"])]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    return "\n\n".join([*parts, reading(document)])


def matrix(studies: list[Figures]) -> str:
    """Ratios by method and pair: the best of tokxfer in bold, the best of mergekit in italics."""
    found = [picks(study, detailed=False) for study in studies]
    labels = dict.fromkeys(plain(label) for picked in found for label, _ in picked)
    cells = {(plain(label), at): run for at, picked in enumerate(found) for label, run in picked}
    tops = [
        (verdicts.top(s["runs"], "tokxfer"), verdicts.top(s["runs"], "mergekit")) for s in studies
    ]
    rows: list[list[object]] = []
    for label in sorted(labels, key=lambda label: label.startswith("mergekit")):
        row: list[object] = [label]
        for at, (ours, theirs) in enumerate(tops):
            run = cells.get((label, at), {})
            text = ratio(run) or ("failed" if "failed" in run else "")
            marks = "**" if run and run is ours else "*" if run and run is theirs else ""
            row.append(f"{marks}{text}{marks}")
        if any(row[1:]) and set(row[1:]) != {"failed"}:
            rows.append(row)
    columns = ["bits/byte after : before", *(s["pair"].replace(" ← ", "<br>← ") for s in studies)]
    return markdown_table(columns, rows, "l" + "r" * len(studies))


def plain(label: str) -> str:
    """A row's name without what was set, which differs from pair to pair."""
    return label.replace("**", "").partition(" (")[0]


def failures(studies: list[Figures]) -> list[str]:
    """What did not run, each with its own words."""
    said: dict[str, list[str]] = {}
    for study in studies:
        for run in study["runs"]:
            if "failed" in run:
                what = f"{run['tool']} {run['method']}{setting(run)}: {run['failed']}"
                said.setdefault(what, []).append(study["pair"])
    lines = [f"- {what} ({len(pairs)} pairs)" for what, pairs in said.items()]
    return ["What did not run, in its own words:", "\n".join(lines)] if lines else []


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
        "tokxfer's methods take their defaults, tuned without any text, but for rows that say "
        "otherwise (a best k, `--twins mean`). Seconds and memory are "
        "those of a whole command, start of Python included, for `omp`, `subword-uniform` and all "
        "of mergekit; tokxfer's other runs share one loaded base. ± is the standard error over "
        f"{document['text']['documents']} documents, paired with the base."
    )
    if document.get("jobs", 1) > 1:
        said += f" {document['jobs']} runs went side by side, so that seconds marked ~ are rough."
    if document.get("train_text"):
        text = document["train_text"]
        said += (
            f" `focus` and `wechsel` are fitted on the first {text['limit']:,} documents of "
            f"`{text['name']}`, those that are scored left out."
        )
    if any(study["ks"] for study in document["pairs"]):
        said += (
            " “Best k” is the best fixed k, nothing tuned (tokxfer's with `--no-tune`), chosen on "
            "the very text it is judged by, for both tools; both `omp`s try the same values, at "
            "most a third of the narrower width."
        )
    if document["mergekit"]:
        said += (
            " mergekit's rows show every method at the best of all its settings, chosen on that "
            "text too: k, weights, metric, ways with subwords, tokenizers' classes named or not, "
            "and for `omp` its `--byte-match` and `--magikarp`."
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
                *cost(run),
            ]
            cpu = f"{run['cpu_seconds']:.1f}" if "cpu_seconds" in run else ""
            extra = [cpu, f"{run['tokens']:,}"] if detailed else []
            rows.append([*cells, *extra])
    return markdown_table(columns, rows, "llrrrrrrr"[: len(columns)])


def cost(run: Figures) -> tuple[str, str]:
    """Seconds and megabytes of a run that had a process of its own."""
    if "wall_seconds" not in run:
        return "", ""
    rough = "~" if run.get("jobs", 1) > 1 else ""
    return f"{rough}{run['wall_seconds']:.1f}", f"{run['peak_bytes'] / 1e6:,.0f}"


def picks(study: Figures, *, detailed: bool) -> list[tuple[str, Figures]]:
    """The runs that a table shows, with their names: tokxfer's, then mergekit's."""
    runs, shown = study["runs"], []
    for method in methods_of(runs, "tokxfer"):
        default = only(runs, "tokxfer", method)
        shown += [(f"**{method}**" if method == "omp" else method, default)] if default else []
        if fixed := best(runs, "tokxfer", method, fixed=True):
            shown.append((f"{method}, best k ({fixed['k']})", fixed))
        flagged = [
            r for r in runs if (r["tool"], r["method"]) == ("tokxfer", method) and r["flags"]
        ]
        shown += [(f"{method}, `{' '.join(run['flags'])}`", run) for run in flagged]
    for method in methods_of(runs, "mergekit"):
        if peer := best(runs, "mergekit", method) or only(runs, "mergekit", method):
            shown.append((f"mergekit {method}{setting(peer)}", peer))
        if detailed and method == "omp" and (usual := usual_peer(study)):
            shown.append((f"mergekit omp, as it comes{setting(usual)}", usual))
    return shown


def methods_of(runs: list[Figures], tool: str) -> list[str]:
    """A tool's methods, in the order in which they ran."""
    return list(dict.fromkeys(run["method"] for run in runs if run["tool"] == tool))


def best_naming(runs: list[Figures]) -> bool:
    """Whether naming the tokenizers' classes suits mergekit better, by what raced both ways."""
    for method in ("mean", "subword", "omp"):
        if found := best(runs, "mergekit", method):
            return bool(found["named"])
    return False


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
    """Ratios of every method at every k that it was given, mergekit's at its better setting."""
    sizes = sorted({run["k"] for study in studies for run in study["runs"] if run["k"]})
    rows = []
    for study in studies:
        for tool in ("tokxfer", "mergekit"):
            for method in methods_of(study["runs"], tool):
                plain_omp = method == "omp"
                found = [best(of_k(study["runs"], k, plain_omp), tool, method) for k in sizes]
                if any(found):
                    cells = [f"{run['ratio']:.3f}" if run else "" for run in found]
                    rows.append([study["pair"], f"{tool} {method}", *cells])
    names = ["base ← donor", "method", *map(str, sizes)]
    return markdown_table(names, rows, "ll" + "r" * len(sizes))


def of_k(runs: list[Figures], k: int, unflagged: bool) -> list[Figures]:
    return [run for run in runs if run["k"] == k and not (unflagged and run["flags"])]
