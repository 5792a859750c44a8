"""Canonical mass by enumeration: slow, obvious, and from the tokenizer itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

from tokxfer.vocabulary import ByteVocabulary, Kind

LETTERS = "at1 \n'.é"
MORE = [
    "".join(letters) for size in range(3) for letters in itertools.product(LETTERS, repeat=size)
] + ["re", "ve", "ll", "the", " the", " and", "over", "2024", "  x", "\n\nx", "tion"]
DIGITS = [f"{number:0{size}}" for size in (1, 2) for number in range(10**size)]
DIGITS += ["٣", "٣٣"]  # that no merge takes
ENCODINGS: dict[tuple[str, str], list[int]] = {}


def covers(vocabulary: ByteVocabulary, text: bytes) -> Iterator[list[int]]:
    """Every token sequence whose last token reaches or passes the end of a text."""
    kinds = (Kind.NORMAL, Kind.BYTE, Kind.ADDED)
    tokens = [t for t in vocabulary.text_ids.tolist() if vocabulary.kinds[t] in kinds]

    def grown(row: list[int], rest: bytes) -> Iterator[list[int]]:
        for token in tokens:
            spelled = vocabulary.tokens[token]
            if spelled.startswith(rest):
                yield [*row, token]
            elif rest.startswith(spelled):
                yield from grown([*row, token], rest[len(spelled) :])

    yield from grown([], text)


def canonical(vocabulary: ByteVocabulary, row: Sequence[int]) -> bool | None:
    """Whether a row begins the encoding of some text; None where it is no whole text."""
    spelled = b"".join(vocabulary.tokens[token] for token in row)
    if spelled and prefixed(vocabulary) and not spelled.startswith(b" "):
        return False
    try:
        text = spelled.decode()
    except UnicodeDecodeError:
        return None
    behind = MORE + DIGITS if text[-1:].isdigit() else MORE
    return any(stream(vocabulary, text + more)[: len(row)] == list(row) for more in behind)


def stream(vocabulary: ByteVocabulary, text: str) -> list[int]:
    """The ids whose bytes are a text's, which begins with the space that encoding puts there.

    Some tokenizers put none before a text that begins with the mark of one.
    """
    if not prefixed(vocabulary):
        return encode(vocabulary, text)
    assert text.startswith(" ")
    mark = vocabulary.spelling.mark
    if mark and encode(vocabulary, f"{mark}a") == encode(vocabulary, "a"):
        return encode(vocabulary, text.replace(" ", mark))
    return encode(vocabulary, text[1:])


def encode(vocabulary: ByteVocabulary, text: str) -> list[int]:
    """The encoding of a text; most rows of an enumeration spell the same ones.

    Vocabularies that differ in the steps before their model are equal, but not their sources.
    """
    key = (vocabulary.source.text or str(vocabulary.source.path), text)
    if key not in ENCODINGS:
        ENCODINGS[key] = vocabulary.encode(text)
    return ENCODINGS[key]


def spelled(vocabulary: ByteVocabulary, text: str) -> bytes:
    """The bytes of a text's tokens: with the space before it, and for WordPiece its words apart."""
    if vocabulary.spelling.continuation is None:
        return (f" {text}" if prefixed(vocabulary) else text).encode()
    kinds, row = vocabulary.kinds, vocabulary.encode(text)
    return b"".join(vocabulary.tokens[token] for token in row if kinds[token] == Kind.NORMAL)


def prefixed(vocabulary: ByteVocabulary) -> bool:
    """Whether encoding puts a space before a text."""
    return vocabulary.tokens[encode(vocabulary, "a")[0]].startswith(b" ")


class RandomModel:
    """A language model drawn at random: the next token's law depends on the whole sequence."""

    def __init__(self, size: int, spread: float = 2.0) -> None:
        self.size, self.spread = size, spread

    def nats(self, row: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of the next token [ids]."""
        seed = hash(tuple(row)) % (2**31)
        generator = torch.Generator().manual_seed(seed)
        scores = self.spread * torch.randn(self.size, generator=generator, dtype=torch.float64)
        return scores.log_softmax(dim=0)

    def probability(self, row: Sequence[int]) -> float:
        """Of a sequence's tokens, one after the other."""
        nats = [self.nats(row[:place])[token] for place, token in enumerate(row)]
        return float(torch.stack(nats).sum().exp())
