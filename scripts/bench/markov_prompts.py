"""What is commonly made of a tokenized model where bytes are wanted: token prompts, healed or not.

A prompt is encoded as if the text ended there. Its bytes count: a space that encoding drops at the
end has to begin the next token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markov_law import TokenLaw
from markov_source import OUTCOMES, STOP
from markov_tokenizers import Family

from tokxfer.vocabulary import ByteVocabulary


class Prompts:
    """Laws of the next byte from a single encoding of the prompt.

    Args:
        law: The model.
        vocabulary: Its tokenizer's.
        family: What encoding does to a text.
    """

    def __init__(self, law: TokenLaw, vocabulary: ByteVocabulary, family: Family) -> None:
        self.law, self.vocabulary, self.family = law, vocabulary, family
        texts = vocabulary.text_ids.tolist()
        self._tokens = [(token, vocabulary.tokens[token]) for token in texts]

    def encoded(self, prompt: bytes) -> tuple[list[int], bytes] | None:
        """A prompt's tokens, and what they leave of it; None within a character."""
        try:
            ids = self.encode(prompt.decode())
        except UnicodeDecodeError:
            return None
        spelled = b"".join(self.vocabulary.tokens[token] for token in ids)
        assert prompt.startswith(spelled)
        return ids, prompt[len(spelled) :]

    def encode(self, text: str) -> list[int]:
        """The ids of a text that begins with a space."""
        return self.vocabulary.encode(text[1:] if self.family.prefixed else text)

    def plain(self, prompt: bytes) -> np.ndarray | None:
        """The law of the first byte of the token behind a prompt's tokens [outcomes]."""
        found = self.encoded(prompt)
        return None if found is None else normalised(self._behind(*found))

    def healed(self, prompt: bytes) -> np.ndarray | None:
        """The same, its last token replaced by one that begins with it or is it."""
        found = self.encoded(prompt)
        if found is None:
            return None
        ids, rest = found
        if not ids:
            return normalised(self._behind(ids, rest))
        *head, last = ids
        law = self._behind(head, self.vocabulary.tokens[last] + rest)
        kept = np.exp(self.law.row(self.law.state(head))[last])
        return normalised(law + kept * self._behind(ids, rest))

    def _behind(self, ids: Sequence[int], rest: bytes) -> np.ndarray:
        """Masses of the byte that comes behind the rest, which the next token begins with."""
        shares = np.exp(self.law.row(self.law.state(ids)))
        law = np.zeros(OUTCOMES)
        for token, spelled in self._tokens:
            if len(spelled) > len(rest) and spelled.startswith(rest):
                law[spelled[len(rest)]] += shares[token]
        law[STOP] = 0.0 if rest else shares[self.vocabulary.roles["eos"]]
        return law


def normalised(law: np.ndarray) -> np.ndarray:
    """Masses as a law; where there are none, all outcomes are alike."""
    whole = law.sum()
    found: np.ndarray = law / whole if whole else np.full(len(law), 1 / len(law))
    return found


def distance(law: np.ndarray, truth: np.ndarray) -> float:
    """Total variation: the largest difference in the probability of any set of outcomes."""
    return float(np.abs(law - truth).sum() / 2)
