"""Unigram and WordPiece tokenizers beside the families': other steps before the same models."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from tests.bytelevel.enumeration import stream
from tests.families import FAMILIES
from tokxfer.vocabulary import ByteVocabulary

MARKS: dict[str, Any] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
DROPPING = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, MARKS]}
CUTTING = {"type": "Sequence", "pretokenizers": [
    MARKS, {"type": "Digits", "individual_digits": True},
    {"type": "Punctuation", "behavior": "Isolated"},
]}  # fmt: skip
WHOLE = {**MARKS, "prepend_scheme": "never", "split": False}
CASED = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": False,
}
UNIGRAM: dict[str, tuple[str, dict[str, Any]]] = {
    "bytes": ("unigram_bytes", {}),
    "no bytes": ("unigram", {"normalizer": None}),
    "no bytes, NFKC": ("unigram", {}),
    "bytes, NFKC": ("unigram_bytes", {"normalizer": {"type": "NFKC"}}),
    "bytes, no pre-tokens": ("unigram_bytes", {"pre_tokenizer": WHOLE}),
    "no pre-tokens": ("unigram", {"normalizer": None, "pre_tokenizer": WHOLE}),
    "bytes, white space lost": ("unigram_bytes", {"pre_tokenizer": DROPPING}),
    "bytes, digits and marks apart": ("unigram_bytes", {"pre_tokenizer": CUTTING}),
}
WORD_PIECE: dict[str, tuple[str, dict[str, Any]]] = {
    "uncased": ("word_piece", {}),
    "cased": ("word_piece", {"normalizer": CASED}),
    "plain": ("word_piece", {"normalizer": None, "pre_tokenizer": {"type": "Whitespace"}}),
    "short words": ("word_piece", {"model": {"max_input_chars_per_word": 6}}),
}


def variant(name: str) -> ByteVocabulary:
    """A vocabulary by its name above."""
    family, parts = (UNIGRAM | WORD_PIECE)[name]
    content = json.loads(FAMILIES[family]().to_str())
    for part, value in parts.items():
        content[part] = content[part] | value if part == "model" else value
    return ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))


def encoded(vocabulary: ByteVocabulary, spelled: bytes) -> list[int] | None:
    """The encoding of the text whose tokens spell some bytes; None if they are no text."""
    try:
        return stream(vocabulary, spelled.decode())
    except UnicodeDecodeError:
        return None
