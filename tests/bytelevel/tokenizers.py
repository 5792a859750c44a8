"""Kinds of BPE tokenizers beyond the families, for what their canonical sequences are."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenizers import Tokenizer, normalizers

from tests.families import byte_level, byte_level_groups, sentencepiece_bpe

ENTRIES = (
    "Ġgrandmother", "Ġold", "1492", "314", "prin", "ing", "...", "ĠĠĠ", "'ll", "Ċx", "dogs", "ä¸",
    "ght", "Ġsma",
)  # fmt: skip
FROM_THE_RIGHT = r"(?=(\d{3})+(?!\d))"


def entries() -> Tokenizer:
    """Entries that no merge makes, which whole pre-tokens become: `ignore_merges`."""
    content = json.loads(byte_level_groups().to_str())
    vocab = content["model"]["vocab"]
    for name in (*ENTRIES, *(f"{number}" for number in range(100, 140, 3))):
        vocab.setdefault(name, len(vocab))
    return Tokenizer.from_str(json.dumps(content))


def composed() -> Tokenizer:
    """NeoX, Qwen: byte-level BPE behind NFC."""
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def folded() -> Tokenizer:
    """Lower case without accents and ligatures."""
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    return tokenizer


def compatible() -> Tokenizer:
    """SentencePiece BPE behind NFKC, with a dummy prefix."""
    tokenizer = sentencepiece_bpe()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), tokenizer.normalizer])
    return tokenizer


BPE: dict[str, Callable[[], Tokenizer]] = {
    "entries": entries,
    "composed": composed,
    "folded": folded,
    "compatible": compatible,
}
