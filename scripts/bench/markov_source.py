"""A Markov source over bytes: what comes next depends on the last bytes alone, and is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

STOP = 256
OUTCOMES = 257  # the bytes, and the end of the text
SPREAD = 0.5  # of the Dirichlet distribution that laws are drawn from: small is uneven
ENDING = 0.08  # the probability that a text ends where it may


@dataclass(frozen=True, eq=False)
class Source:
    """A law of the next byte, or the end, for every context.

    Attributes:
        order: Bytes of a context; fewer where a text begins.
        laws: [outcomes] probabilities behind each context, the end's last.
    """

    order: int
    laws: dict[bytes, np.ndarray]

    def law(self, text: bytes) -> np.ndarray:
        """What may come behind a text [outcomes]."""
        return self.laws[self.context(text)]

    def context(self, text: bytes) -> bytes:
        """As much of a text as matters."""
        return text[-self.order :]

    def of(self, context: bytes, data: bytes) -> float:
        """The probability that some bytes come next."""
        found = 1.0
        for byte in data:
            law = self.laws.get(context)
            if law is None or not law[byte]:
                return 0.0
            found *= float(law[byte])
            context = self.context(context + bytes([byte]))
        return found

    def whole(self, data: bytes) -> float:
        """The probability of a whole text."""
        begun = self.of(b"", data)
        return begun * float(self.law(data)[STOP]) if begun else 0.0

    def texts(self, length: int, before: bytes = b"") -> Iterator[bytes]:
        """All texts of at most so many bytes."""
        law = self.law(before)
        if law[STOP]:
            yield before
        if len(before) < length:
            for byte in np.flatnonzero(law[:STOP]).tolist():
                yield from self.texts(length, before + bytes([byte]))

    def sample(self, generator: np.random.Generator) -> bytes:
        """A text."""
        text = b""
        while (drawn := int(generator.choice(OUTCOMES, p=self.law(text)))) != STOP:
            text += bytes([drawn])
        return text


def draw(characters: Sequence[str], order: int, seed: int, *, words: bool) -> Source:
    """A source of texts of some characters, its laws drawn at random.

    A text may end behind every whole character.

    Args:
        characters: The characters; the first is the space.
        order: Bytes that the next one depends on.
        seed: Of the drawing.
        words: Whether texts are words with one space before each: those of a tokenizer that reads
            nothing else. Else the second character alone must not be a space.
    """
    generator = np.random.default_rng(seed)
    spelled = [character.encode() for character in characters]
    space = spelled[0][0]
    laws: dict[bytes, np.ndarray] = {}
    waiting = [(b"", b"")]  # a context, and what its end begins of a character
    while waiting:
        context, begun = waiting.pop()
        if context in laws:
            continue
        following = sorted({c[len(begun)] for c in spelled if c.startswith(begun) and c != begun})
        law = np.zeros(OUTCOMES)
        law[following] = generator.dirichlet([SPREAD] * len(following))
        spaced = context == b" " or (words and context.endswith(b" "))
        if not context:
            law = np.eye(OUTCOMES)[space]
        elif spaced:
            law[space] = 0.0
        law /= law.sum()
        if context and not begun and not spaced:
            law *= 1 - ENDING
            law[STOP] = ENDING
        laws[context] = law
        for byte in np.flatnonzero(law[:STOP]).tolist():
            longer = begun + bytes([byte])
            behind = (context + bytes([byte]))[-order:]
            waiting.append((behind, b"" if longer in spelled else longer))
    return Source(order, laws)
