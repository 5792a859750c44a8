"""The tables of `distill.py`, from the document that it writes as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from distill_share import Mean, difference, mean, over_seeds
from tables import markdown_table

Figures = dict[str, Any]
TEXT = "sft"  # what the others are compared with


def full(document: Figures) -> str:
    """Everything: surroundings, how to read it, a table a pair, what is missing."""
    parts = [surroundings(document), reading(document)]
    for study in document["pairs"]:
        parts += [headline(study)]
        parts += [table(study, len(document["rates"]))] if study.get("before") else []
    parts += [missing(document), failures(document), stale(document)]
    return "\n\n".join(part for part in parts if part)


def short(document: Figures) -> str:
    """One table: bits per byte behind every objective, by pair."""
    studies = [study for study in document["pairs"] if told(study)]
    columns = ["bits per byte", *(f"{study['pair']}, {study['text']}" for study in studies)]
    before = [f"{study['before']['bits_per_byte']:.3f}" for study in studies]
    rows = [["the student as it comes", *before]]
    for name in dict.fromkeys(name for study in studies for name in study["objectives"]):
        cells = [told(study).get(name) for study in studies]
        if any(cells):
            rows.append([f"`{name}`", *(bits(runs) if runs else "" for runs in cells)])
    teachers = [f"{study['before']['teacher']['bits_per_byte']:.3f}" for study in studies]
    rows.append(["the teacher", *teachers])
    around = document["environment"]
    about = (
        f"`{document['command']}`: held-out text behind {document['steps']} steps, ± over seeds "
        f"{', '.join(map(str, document['seeds']))}. tokxfer {around['tokxfer']}, torch "
        f"{around['packages']['torch']}, {around['platform']}."
    )
    return about + "\n\n" + markdown_table(columns, rows, "l" + "r" * len(studies))


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
    rates = ", ".join(f"{rate:g}" for rate in sorted(document["rates"]))
    return (
        f"Every objective: {document['steps']} steps of {document['batch']} rows of "
        f"{document['length']} tokens, the same text in the same order, all weights trained; a "
        "student that reads bytes is shown four times as many tokens, in rows as long as it takes. "
        f"“Rate” is the learning rate in multiples of the default one, of {rates} the one that is "
        f"best on development text with seed {document['seeds'][0]}, which is not judged on; other "
        "seeds take the same. ± is the standard error over seeds, which are the order of the data. "
        "“− sft” is the difference from the text alone with the same seeds (above 0 it is worse), "
        "its errors over seeds and over documents put together. “Gap” is the mean difference of "
        "chunks' log-probabilities from the teacher's without sign, in bits per byte; “same byte” "
        "the share of common boundaries behind which both models call the same byte the likeliest. "
        "CPU seconds are those of the training, alignment of its text included; “a minute” is bits "
        "per byte gained by one of them. Behind a colon stand an objective's options that are not "
        "its default ones: a `share` of 0.125 compares the laws of the next byte at an eighth of "
        "the bytes."
    )


def headline(study: Figures) -> str:
    """What a pair is, and how good both are before; or why it is left out."""
    name = f"**{study['pair']}**, {study['text']} text"
    if "left_out" in study:
        return f"{name} is left out: {study['left_out']}"
    before = study["before"]
    if before is None:
        return f"{name} is not measured yet."
    return (
        f"{name}: teacher {before['teacher']['bits_per_byte']:.3f} bits per byte, student "
        f"{before['bits_per_byte']:.3f} before (gap {before['gap']:.3f}, same byte "
        f"{before['agreement']:.1%}); rows of {study['schedule']['length']} tokens, "
        f"{study['schedule']['batch']} a step."
    )


def told(study: Figures) -> dict[str, Figures]:
    """The trainings of each objective that are there, by seed."""
    return {
        name: {seed: run for seed, run in found["runs"].items() if "failed" not in run}
        for name, found in study["objectives"].items()
    }


def table(study: Figures, rates: int) -> str:
    """A row per objective, the best first; those that are not measured are left blank."""
    columns = (
        *("objective", "rate", "seeds", "bits/byte", "gained", "− sft", "gap", "same byte"),
        *("CPU s", "gained a minute"),
    )
    before, runs = study["before"]["bits_per_byte"], told(study)
    rows = []
    for name in sorted(runs, key=lambda name: rank(runs[name])):
        found = runs[name]
        if not found:
            rows.append([f"`{name}`", *[""] * 9])
            continue
        rows.append([
            *(f"`{name}`", chosen(study["objectives"][name], rates), len(found), bits(found)),
            f"{before - mean_of(found, 'bits_per_byte'):.3f}",
            "" if name == TEXT else signed(difference(found, runs.get(TEXT, {}), study["sizes"])),
            number(over_seeds(found, "gap")),
            f"{mean_of(found, 'agreement'):.1%}",
            f"{mean_of(found, 'cpu_seconds'):.0f}",
            number(mean([
                60 * (before - run["bits_per_byte"]) / run["cpu_seconds"] for run in found.values()
            ])),
        ])  # fmt: skip
    return markdown_table(columns, rows, "lrrrrrrrrr")


def chosen(found: Figures, rates: int) -> str:
    """The learning rate, and out of how many where not all have been tried."""
    few = "" if len(found["rates"]) == rates else f" (of {len(found['rates'])} tried)"
    return f"{found['rate']:g}{few}"


def rank(runs: Figures) -> float:
    """By bits per byte; unknown ones last."""
    return mean_of(runs, "bits_per_byte") if runs else float("inf")


def mean_of(runs: Figures, name: str) -> float:
    """A figure's mean over seeds, where there are any."""
    found = over_seeds(runs, name)
    assert found is not None
    return found.value


def bits(runs: Figures) -> str:
    """Bits per byte with their error."""
    return number(over_seeds(runs, "bits_per_byte"))


def number(found: Mean | None) -> str:
    """A mean with its error, or nothing."""
    if found is None:
        return ""
    return f"{found.value:.3f}" + ("" if found.stderr is None else f" ± {found.stderr:.3f}")


def signed(found: Mean | None) -> str:
    """The same with its sign."""
    return "" if found is None else ("+" if found.value > 0 else "") + number(found)


def missing(document: Figures) -> str:
    """How much of all that was asked for is not measured."""
    cells = [
        found["runs"]
        for study in document["pairs"]
        if "left_out" not in study
        for found in study["objectives"].values()
    ]
    wanted, there = len(cells) * len(document["seeds"]), sum(map(len, cells))
    return lacking(wanted - there, wanted)


def lacking(missing: int, wanted: int) -> str:
    """That not all is measured."""
    if not missing:
        return ""
    return (
        f"{missing} of {wanted} trainings are not measured yet: what rests on them is left blank, "
        "or has fewer seeds."
    )


def failures(document: Figures) -> str:
    """Which trainings failed, and why."""
    found = {
        f"{study['pair']} by `{name}`: {run['failed']}": None
        for study in document["pairs"]
        for name, objective in study["objectives"].items()
        for run in objective["runs"].values()
        if "failed" in run
    }
    return "Failed: " + "; ".join(found) if found else ""


def stale(document: Figures) -> str:
    """How many figures come from other sources of losses than those that are there now."""
    return outdated(
        run.get("sources") == document["sources"][name]
        for study in document["pairs"]
        for name, found in study["objectives"].items()
        for run in found["runs"].values()
        if "failed" not in run
    )


def outdated(fresh: Iterable[bool]) -> str:
    """That some trainings were run by other sources."""
    told = list(fresh)
    if all(told):
        return ""
    other = len(told) - sum(told)
    return f"{other} of {len(told)} trainings were run by another state of their losses' sources."
