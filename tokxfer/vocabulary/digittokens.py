"""A model's vocabulary rewritten so that chunks of digits become the tokens of a rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tokxfer.vocabulary.digitrule import DigitRule
from tokxfer.vocabulary.spelling import Spelling

UNUSED = " (unused)"
"""Ends a name that text must not become; no piece that a model is given holds a space."""
DIGIT = re.compile("[0-9]")
Names = tuple[list[str], dict[str, str]]


def with_whole_chunks(model: dict[str, Any], rule: DigitRule, spelling: Spelling) -> Names:
    """Change a model in place so that every chunk of the rule is one token.

    - BPE: a merge for every way to put a chunk together, so that whichever comes first, the last
      one gives the whole. They follow the merges there are, and hold nothing but digits.
    - Unigram: all chunks get the lowest score there is. It is negative, so that one piece beats
      two; and what an unknown character costs, which hangs on the lowest score, does not change.
    - WordPiece: the longest piece wins, so that longer pieces with digits have to go.

    Returns:
        Names to be appended to the vocabulary, and new names of tokens that must not be produced.
    """
    chunks = rule.chunks()
    retired: dict[str, str] = {}
    if spelling.model == "BPE":
        if not model.get("ignore_merges"):
            there = {tuple(pair) for pair in pairs_of(model)}
            ways = [(c[:at], c[at:]) for c in chunks for at in range(1, len(c))]
            model["merges"] = [*pairs_of(model), *(list(w) for w in ways if w not in there)]
    elif spelling.model == "Unigram" and rule.size != 1:
        lowest, wanted = lowest_score(model), set(chunks)
        model["vocab"] = [
            [name, lowest if name in wanted else score] for name, score in model["vocab"]
        ]
    elif spelling.model == "WordPiece":
        assert spelling.continuation is not None, "WordPiece has one"
        inside = [f"{spelling.continuation}{chunk}" for chunk in chunks]
        chunks = [*chunks, *inside]
        retired = {
            name: name + UNUSED
            for name in set(model["vocab"]) - set(chunks)
            if DIGIT.search(name) and not re.fullmatch(r"[<\[].*[>\]]", name)
        }
    return missing(model, chunks), retired


def with_merges_of(
    model: dict[str, Any], base: Mapping[str, Any], rule: DigitRule, marks: tuple[str, str]
) -> Names:
    """Change a BPE model in place so that it merges digits as another one does.

    Its own merges among digits go, the other's are put in their order at the end: a chunk holds
    only digits and at most one space before them, so that no other merge has a say.

    Args:
        model: The donor's model.
        base: The base's model.
        rule: The base's way of cutting numbers.
        marks: The characters of a space in the names of the base and of the donor, "" for none.

    Returns:
        Names to be appended to the vocabulary, and new names of tokens that must not be produced.
    """
    shapes = [re.compile(f"(?:{re.escape(m)})?[0-9]+" if rule.spaced and m else "[0-9]+")
              for m in marks]  # fmt: skip
    renamed = [
        [part.replace(*marks) if marks[0] else part for part in pair]
        for pair in pairs_of(base)
        if shapes[0].fullmatch("".join(pair))
    ]
    own = [pair for pair in pairs_of(model) if not shapes[1].fullmatch("".join(pair))]
    model["merges"] = own + renamed
    wanted = [*"0123456789", *("".join(pair) for pair in renamed)]
    known = {
        name.replace(*marks) if marks[0] else name
        for name in base["vocab"]
        if shapes[0].fullmatch(name)
    }
    if base.get("ignore_merges"):
        wanted += sorted(known, key=base["vocab"].__getitem__) if marks[0] == marks[1] else known
    retired = {}
    if model.get("ignore_merges"):  # a chunk that is a token becomes it, whatever the merges
        strange = [name for name in model["vocab"] if shapes[1].fullmatch(name)]
        retired = {name: name + UNUSED for name in strange if name not in known}
    return missing(model, dict.fromkeys(wanted)), retired


def pairs_of(model: Mapping[str, Any]) -> list[list[str]]:
    """The merges of a BPE model, each a pair; older files write them with a space between."""
    return [m.split(" ") if isinstance(m, str) else list(m) for m in model["merges"]]


def lowest_score(model: Mapping[str, Any]) -> float:
    """The lowest score of a Unigram model."""
    return float(min(score for _, score in model["vocab"]))


def missing(model: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The names that are not in a model's vocabulary."""
    vocab = model["vocab"]
    there = set(vocab) if isinstance(vocab, dict) else {name for name, _ in vocab}
    return [name for name in names if name not in there]


def extend(model: dict[str, Any], ids: Mapping[str, int]) -> None:
    """Put names under given ids into a model's vocabulary, ids ascending and without a gap."""
    if isinstance(model["vocab"], dict):
        model["vocab"] = {**model["vocab"], **ids}
        return
    lowest = lowest_score(model)
    rest = sorted(ids.items(), key=lambda item: item[1])
    assert [token for _, token in rest] == [len(model["vocab"]) + at for at in range(len(rest))]
    model["vocab"] = [*model["vocab"], *([name, lowest] for name, _ in rest)]


def rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give tokens of a model other names under the same ids."""
    if names:
        model["vocab"] = {names.get(name, name): token for name, token in model["vocab"].items()}
