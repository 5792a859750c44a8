"""A pre-tokenizer rewritten so that numbers reach the model in the chunks of a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokxfer.vocabulary.digitrule import DigitRule

NUMERALS_BUT_DIGITS = r"[^\P{N}0-9]"


def with_chunks(content: Mapping[str, Any], rule: DigitRule, mark: str | None) -> dict[str, Any]:
    """The pre-tokenizer of a `tokenizer.json` with numbers cut into the rule's chunks.

    The rule's Split comes last, when a space is written as `mark` and word starts have been added;
    steps before it no longer cut runs of digits. No step changes what it does to text without the
    digits 0 to 9: what is put in front of a pattern needs a digit to match.

    Args:
        content: The donor's content.
        rule: The base's way of cutting numbers.
        mark: The character that stands for a space in the donor's names.
    """
    steps = list(flattened(content.get("pre_tokenizer")))
    if rule.size != 1:
        steps = [without_cuts(step, rule) for step in steps]
    last = split(rule.pattern(mark))
    return {"type": "Sequence", "pretokenizers": [*steps, last]} if steps else last


def flattened(step: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The steps of a pre-tokenizer in order, sequences within sequences opened."""
    if step is None:
        return
    if step["type"] == "Sequence":
        for part in step["pretokenizers"]:
            yield from flattened(part)
    else:
        yield dict(step)


def without_cuts(step: dict[str, Any], rule: DigitRule) -> dict[str, Any]:
    """A step that leaves runs of digits whole, and does to other text what it did."""
    if step["type"] == "Digits" and step.get("individual_digits"):
        return split(NUMERALS_BUT_DIGITS)
    regex = step["pattern"].get("Regex") if step["type"] == "Split" else None
    keeps_matches = step.get("behavior") in ("Isolated", "Contiguous") or step.get("invert")
    if regex is None or not keeps_matches:
        return step
    space = "[ Ġ▁]?" if rule.spaced else ""
    return {**step, "pattern": {"Regex": f"{space}[0-9]+|(?:{regex})"}}


def split(pattern: str) -> dict[str, Any]:
    """A Split that isolates every match."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
