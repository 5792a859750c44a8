"""Documents as token ids, by any kind of tokenizer, and what encoding them lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tokxfer.errors import FolderError, TokxferError, VocabularyError


@dataclass(frozen=True)
class Codec:
    """How a tokenizer turns text into ids and ids into text."""

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]

    @classmethod
    def of(cls, tokenizer: Any) -> Codec:
        """Wrap a transformers tokenizer, a `tokenizers.Tokenizer` or a `ByteVocabulary`."""
        if isinstance(tokenizer, tokenizers.Tokenizer):
            return cls.of_fast(tokenizer)
        if hasattr(tokenizer, "pieces"):
            return cls(tokenizer.encode, tokenizer.decode)
        if not callable(tokenizer):
            raise VocabularyError(f"A {type(tokenizer).__name__} is not a tokenizer.")
        return cls(
            lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False).input_ids),
            lambda ids: str(
                tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            ),
        )

    @classmethod
    def of_fast(cls, tokenizer: tokenizers.Tokenizer) -> Codec:
        """Wrap a `tokenizers.Tokenizer`; truncation or padding saved in it are left out."""
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            tokenizer = tokenizers.Tokenizer.from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        return cls(
            lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
            lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
        )


def lost_bytes(text: str, decoded: str) -> int | None:
    """UTF-8 bytes of the characters that a round trip loses; None where it gives the same text.

    A single space in front is the mark of a word's start that some decoders leave in, and no loss.
    Characters that only moved, or that were added, cost no byte: then the answer is 0, not None.
    """
    if decoded in (text, f" {text}"):
        return None
    missing = Counter(text) - Counter(decoded)
    return sum(len(character.encode()) * count for character, count in missing.items())


@dataclass(frozen=True, eq=False)
class EncodedDocuments:
    """Documents as token ids, with what encoding them lost.

    Args:
        sequences: Token ids of each document, the begin token first.
        tokens: Text tokens, int64 [documents].
        bytes: UTF-8 bytes as given, int64 [documents].
        lossy_documents: Documents that do not come back as they were.
        lossy_bytes: UTF-8 bytes of the characters missing from what comes back.
        empty_documents: Empty documents, left out.
    """

    sequences: list[NDArray[np.int64]]
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]
    lossy_documents: int
    lossy_bytes: int
    empty_documents: int


def encode_documents(
    codec: Codec, documents: Iterable[str], begin: int | None, rows: int, name: str
) -> EncodedDocuments:
    """Encode documents, and check that the text comes back and that the model knows every id."""
    prefix = [] if begin is None else [begin]
    sequences, sizes, losses, empty = [], [], [], 0
    for number, text in enumerate(documents, start=1):
        if not text:
            empty += 1
            continue
        try:
            sizes.append(len(text.encode()))
        except UnicodeEncodeError:
            raise TokxferError(f"Document {number} holds half of a surrogate pair.") from None
        ids = codec.encode(text)
        sequences.append(np.array(prefix + ids, dtype=np.int64))
        if max(prefix + ids, default=0) >= rows:
            raise FolderError(
                f"The tokenizer of {name} gives id {max(prefix + ids)}, but the model has only "
                f"{rows:,} embedding rows.",
                "The tokenizer and the weights do not belong together.",
            )
        lost = lost_bytes(text, codec.decode(ids))
        if lost is not None:
            losses.append(lost)
    tokens = np.array([len(ids) - len(prefix) for ids in sequences], dtype=np.int64)
    if not tokens.sum():
        raise TokxferError("There is no text to evaluate on.", "Give a text that is not empty.")
    return EncodedDocuments(
        sequences, tokens, np.array(sizes, dtype=np.int64), len(losses), sum(losses), empty
    )
