"""Texts drawn at random in many scripts, broken or not, and other ways to spell them in tokens."""

from __future__ import annotations

import random

from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.vocabulary import ByteVocabulary, Kind

PIECES = [
    *"abeholstxABZ",
    *"0123456789",
    *" \n\t\r.,;'\"-_()/<>",
    *"éßüçø",
    *"ЖжиЙ",
    *"中名猫",
    *"のアが",
    *"한글요",
    *"عربי",
    *"हिन्दी",
    *"🙂👍🏽…—½ﬁ²\u00a0\u3000",
    "  ", "    ", "\n\n", "\n    ", "\t\t", "\r\n", " the", "the ", "ing", "'s", "'ll", "isn't",
    " grandmother", "old", "sma", "print(", "x == 10:", "def ", "return", "1492", "12345678", "314",
    "100", "...", " old", "Größe", "это", "хорошо", "世界", "안녕", "http://", "e\u0301", "ą́",
]  # fmt: skip


def drawn(source: random.Random, longest: int = 9) -> str:
    """A text of some pieces."""
    return "".join(source.choices(PIECES, k=source.randint(1, longest)))


def broken(source: random.Random, data: bytes) -> bytes:
    """Some bytes of UTF-8 with a few of them put in, left out, or cut off."""
    for _ in range(source.randint(1, 3)):
        place, kind = source.randrange(len(data) + 1), source.random()
        if kind < 0.4:
            other = source.randrange(256) if kind < 0.1 else source.randrange(128, 256)
            data = data[:place] + bytes([other]) + data[place:]
        elif kind < 0.8:
            data = data[:place] + data[place + 1 :]
        else:
            data = data[:place] if kind < 0.9 else data[place:]
    return data


def followed(rule: Rule, row: list[int]) -> object | None:
    """The state behind a row; None if it is not canonical. Masks must say the same."""
    state: object | None = rule.start
    for token in row:
        assert state is not None
        after = rule.follow(state, token)
        assert bool(rule.allowed(state)[token]) == (after is not None), (row, token)
        if after is None:
            return None
        state = after
    return state


def respelled(vocabulary: ByteVocabulary, data: bytes, source: random.Random) -> list[int] | None:
    """Some tokens that spell some bytes, cut at random; None where they cannot be spelled so."""
    row: list[int] = []
    while data:
        sizes = [n for n in range(1, min(len(data), 12) + 1) if vocabulary.ids_of(data[:n])]
        if not sizes:
            return None
        size = max(sizes) if source.random() < 0.6 else source.choice(sizes)
        ids = [t for t in vocabulary.ids_of(data[:size]) if vocabulary.kinds[t] != Kind.SPECIAL]
        row.append(source.choice(ids))
        data = data[size:]
    return row


def spelled(tokens: tuple[bytes, ...], data: bytes) -> bool:
    """Whether some sequence of tokens spells bytes or goes on beyond them."""
    known = set(tokens) - {b""}
    ends = [True] + [False] * len(data)
    for place in range(1, len(data) + 1):
        ends[place] = any(ends[first] and data[first:place] in known for first in range(place))
    tails = {data[first:] for first in range(len(data) + 1) if ends[first]}
    return b"" in tails or any(token.startswith(tuple(tails)) for token in known)
