"""The tables of `gap.py`, from the document that it writes as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from gap_share import TAIL
from tables import markdown_table

Figures = dict[str, Any]
PICTURE = "Share of the gap between mean and oracle that each method recovers, by pair"


def full(document: Figures, picture: str | None) -> str:
    """Everything: surroundings, how to read it, the pairs, the shares, the picture."""
    parts = [surroundings(document), reading(document), pairs(document["pairs"])]
    parts += ["Share of the gap recovered:", shares(document["pairs"])]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    parts += [skipped(document["pairs"])]
    return "\n\n".join(part for part in parts if part)


def surroundings(document: Figures) -> str:
    """What was run, with what, where, on which text."""
    around = document["environment"]
    packages = ", ".join(f"{name} {around['packages'][name]}" for name in ("torch", "transformers"))
    texts = "; ".join(
        f"{text['name']}: {text['documents']} documents, {text['bytes']:,} bytes"
        for text in document["texts"]
    )
    seeds = ", ".join(map(str, document["seeds"]))
    return (
        f"`{document['command']}`, seeds {seeds}, {document['threads']} threads; tokxfer "
        f"{around['tokxfer']}, {packages}, Python {around['python']}; {around['platform']}, "
        f"{around['cpus']} cores. Judged on {texts}."
    )


def reading(document: Figures) -> str:
    """How the figures came about, in one paragraph."""
    training = document["training"]
    return (
        f"The oracle starts from the rows of `{document['start']}` and trains the new rows alone "
        f"on {training['tokens']:,} tokens of text like that it is judged on, each seen once; of "
        "its points on development documents the best counts. Longer training finds better rows, "
        "so that shares are upper bounds. A share is (mean - method) / (mean - oracle) in bits per "
        "byte; ± puts together its standard errors over documents and over seeds. New tokens that "
        "its training text never shows keep the rows it started from. An oracle below its base has "
        "not only replaced rows but learnt the text's domain. “Last fifth” is what "
        f"the last {TAIL:.0%} of the training gained on the development documents, in parts of "
        "the gap, the mean over seeds. “Rank correlation” is Spearman's, over methods, of the "
        "cosine with hidden shared tokens (as `compare` shows it) and the share; in brackets "
        "without `mean`, `gaussian` and `zero`, which do not look at the token. “Largest cosine” "
        "is the method that the cosine would choose, and what share it gives away."
    ) + fitted(document)


def fitted(document: Figures) -> str:
    """What methods were fitted on."""
    text = document["fit_text"]
    if not text:
        return ""
    return f" Methods fitted on text see the first {text['limit']:,} documents of `{text['name']}`."


def pairs(studies: list[Figures]) -> str:
    """One row per pair and text: what it is, its gap, and what the cosine knows of it."""
    columns = (
        *("base ← donor", "text", "domains", "base", "new rows", "base bits/byte", "mean"),
        *("oracle", "new tokens seen", "last fifth", "rank correlation", "largest cosine"),
    )
    rows = []
    for study in studies:
        found = study["summary"]
        rows.append([
            *(study["pair"], study["text"], study["domains"]),
            "tied" if study["tied"] else "untied",
            " / ".join(dict.fromkeys(f"{count:,}" for count in study["new"].values())),
            f"{study['base_bits_per_byte']:.3f}",
            f"{found['methods']['mean']['bits_per_byte']:.3f}",
            f"{found['oracle_bits_per_byte']:.3f}",
            f"{np.mean([seen(run['oracle']) for run in study['seeds']]):.0%}",
            f"{np.mean(found['tails']):.1%}",
            "; ".join(
                f"{matrix} {number(of['all'])} ({number(of['sighted'])})"
                for matrix, of in found["rank_correlation"].items()
            ),
            f"`{found['picked']['method']}`, {found['picked']['regret']:.2f} below the best",
        ])  # fmt: skip
    return markdown_table(columns, rows, "llllrrrrrrll")


def seen(oracle: Figures) -> float:
    """The share of the new tokens that its training text has."""
    return float(np.mean(list(oracle["new_tokens_seen"].values())))


def shares(studies: list[Figures]) -> str:
    """A row per method, a column per pair and text."""
    rows = []
    for name in methods(studies):
        cells = [study["summary"]["methods"].get(name) for study in studies]
        rows.append([name, *("" if cell is None else told(cell) for cell in cells)])
    columns = ["method", *(f"{study['pair']}, {study['text']}" for study in studies)]
    return markdown_table(columns, rows, "l" + "r" * len(studies))


def methods(studies: list[Figures]) -> list[str]:
    """Every method, the best on average first."""
    found: dict[str, list[float]] = {}
    for study in studies:
        for name, figures in study["summary"]["methods"].items():
            found.setdefault(name, []).append(figures["value"])
    return sorted(found, key=lambda name: -float(np.mean(found[name])))


def told(figures: Figures) -> str:
    """A share with its error; the reference has none."""
    if not figures["value"] and not figures["stderr"]:
        return "0"
    return f"{figures['value']:.2f} ± {figures['stderr']:.2f}"


def skipped(studies: list[Figures]) -> str:
    """Which methods could not run, and why."""
    reasons = {name: why for study in studies for name, why in study["skipped"].items()}
    if not reasons:
        return ""
    return "Left out: " + "; ".join(f"`{name}` ({why})" for name, why in reasons.items())


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
