"""Token sequences of all kinds, and what the tokenizers library itself makes of their text."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import numpy as np

from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.vocabulary import ByteVocabulary

SCRIPTS = (
    "the quick brown fox where are you going grandmother village forest",
    "Mädchen Straße größer übung schön là élève ça qu'on très été naïve",
    "жили были старик это хорошо море самого",
    "吾輩は猫である你好世界中",
    "안녕하세요",
    "مرحبا שלום",
    "नमस्ते สวัสดี",
    "def transplant(base):\n\treturn [row for x == 10]\n    if y:",
    "  \n\n\t   ",
    "0123456789 1492 2024 3.14",
    "😀 👍🏽 ∑ ≠ … “quoted” — – .,;:'\"-!?()[]",
)


def text_of(source: random.Random, longest: int = 30) -> str:
    """A random text: stretches of words, of characters, and of one character."""
    found, script = "", source.choice(SCRIPTS)
    while len(found) < longest:
        script = script if source.random() < 0.7 else source.choice(SCRIPTS)
        place, size = source.randrange(len(script)), source.randint(1, 9)
        kind = source.random()
        if kind < 0.6:
            found += script[place : place + size]
        elif kind < 0.9:
            found += "".join(source.choices(script, k=size))
        else:
            found += script[place] * size
    return found[: source.randint(1, longest)]


def walked(rule: Rule, row: list[int], *, begins: bool = True) -> object | None:
    """The state behind a row, of a whole text or not; None as soon as a token may not follow."""
    state: object | None = rule.start if begins else rule.behind
    for token in row:
        state = None if state is None else rule.follow(state, token)
    return state


def rows(
    rule: Rule, vocabulary: ByteVocabulary, source: random.Random, count: int, first: bytes = b""
) -> Iterator[list[int]]:
    """Random rows: walks along what may follow, tokens at random, encodings spelled otherwise.

    Args:
        first: With what a row must begin.
    """
    usable = [token for token, spelled in enumerate(rule.tokens) if spelled]
    ids = {rule.tokens[token]: token for token in usable}
    firsts = [token for token in usable if rule.tokens[token].startswith(first)]
    for place in range(count):
        row = [source.choice(firsts)]
        if place % 3 == 0:
            state, size = rule.follow(rule.start, row[0]), source.randint(1, 8)
            while state is not None and len(row) < size:
                row.append(int(source.choice(np.flatnonzero(rule.allowed(state)).tolist())))
                state = rule.follow(state, row[-1])
        elif place % 3 == 1:
            row += source.choices(usable, k=source.randint(0, 7))
        else:
            text = covered(rule, vocabulary.encode(text_of(source)))
            row = respelled(source, rule, ids, text) if text else row
        yield row


def covered(rule: Rule, row: list[int]) -> list[int]:
    """A row as far as its tokens are of text."""
    return row[: next((i for i, token in enumerate(row) if not rule.tokens[token]), len(row))]


def respelled(
    source: random.Random, rule: Rule, ids: Mapping[bytes, int], row: list[int]
) -> list[int]:
    """A row with some of its tokens spelled by others, where that can be.

    Args:
        ids: An id for every token's bytes.
    """
    place, size = source.randrange(len(row)), source.randint(1, 3)
    spelled = b"".join(rule.tokens[token] for token in row[place : place + size])
    for _ in range(10):
        parts, rest = [], spelled
        while rest:
            beginnings = [rest[:cut] for cut in range(1, len(rest) + 1) if rest[:cut] in ids]
            if not beginnings:
                break
            parts.append(ids[source.choice(beginnings)])
            rest = rest[len(rule.tokens[parts[-1]]) :]
        other = [*row[:place], *parts, *row[place + size :]]
        if not rest and other != row:
            return other
    return row


def judged(rule: Rule, row: list[int], encoded: list[int]) -> bool:
    """Whether a rule accepts a row just as far as the encoding of its own text says.

    Args:
        rule: Of a family in which every beginning of a canonical row is itself a whole encoding.
        row: The row.
        encoded: The library's encoding of its text.
    """
    state = walked(rule, row)
    return (state is not None and rule.ends(state)) == (row == encoded)
