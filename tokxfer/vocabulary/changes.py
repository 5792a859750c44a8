"""What a tokenizer does to text before it cuts it: lower case, Unicode forms, words cut apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokxfer.vocabulary.spelling import replaces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tokxfer.vocabulary.vocabulary import ByteVocabulary

ABOUT_SPACES = {"Prepend", "ByteLevel", "Strip"}


def changing(vocabulary: ByteVocabulary) -> Tokenizer | None:
    """A tokenizer without tokens that changes text as a vocabulary's does; None if it changes none.

    Steps that write word starts, or drop spaces at the ends, are left out.
    """
    from tokenizers import Tokenizer

    normalizer = without_spaces(vocabulary.source.normalizer)
    words = vocabulary.source.pre_tokenizer if vocabulary.spelling.continuation else None
    if normalizer is None and words is None:
        return None
    content: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": words,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    return Tokenizer.from_str(json.dumps(content))


def without_spaces(step: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A normalizer without the steps that only move or mark spaces."""
    if step is None:
        return None
    if step["type"] == "Sequence":
        parts = [part for part in map(without_spaces, step["normalizers"]) if part is not None]
        return {**step, "normalizers": parts} if parts else None
    marks = step["type"] == "Replace" and replaces(step)[0] == " "
    return None if marks or step["type"] in ABOUT_SPACES else step


def changed(steps: Tokenizer, text: str) -> str:
    """A text after the changes, its leading space kept."""
    if steps.normalizer is None:
        return text
    new = str(steps.normalizer.normalize_str(text))
    return f" {new}" if text.startswith(" ") and not new.startswith(" ") else new


def words_of(steps: Tokenizer, text: str) -> list[tuple[str, bool]]:
    """The words into which a changed text is cut, and whether each is cut off from what precedes.

    A text without leading space begins inside a word, unless the tokenizer cuts there anyway, as
    BERT's does before every punctuation mark and ideograph.
    """
    if steps.pre_tokenizer is None:
        return [(text, False)]
    inside = "" if text[:1].isspace() else "x"
    cut = steps.pre_tokenizer.pre_tokenize_str(changed(steps, inside + text))
    words = [word for word, _ in cut]
    if not inside or not words:
        return [(word, True) for word in words]
    first, rest = words[0].removeprefix(inside), [(word, True) for word in words[1:]]
    return [(first, False), *rest] if first else rest


def standing_marks(vocabulary: ByteVocabulary) -> dict[bytes, int]:
    """Single characters that begin a word in a vocabulary, and are cut off from what precedes."""
    steps = changing(vocabulary)
    if steps is None:
        return {}
    single = {
        vocabulary.tokens[token][1:].decode(): token
        for token in reversed(vocabulary.text_ids.tolist())
        if vocabulary.tokens[token][:1] == b" " and len(vocabulary.tokens[token]) <= 5
    }
    return {
        text.encode(): token
        for text, token in single.items()
        if len(text) == 1 and words_of(steps, text) == [(text, True)]
    }
