"""Kinds of BPE tokenizers beyond the families, for what their canonical sequences are."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from tests.families import CL100K, TEXT, byte_level, byte_level_groups, sentencepiece_bpe

ENTRIES = (
    "Ġgrandmother", "Ġold", "1492", "314", "prin", "ing", "...", "ĠĠĠ", "'ll", "Ċx", "dogs", "ä¸",
    "ght", "Ġsma",
)  # fmt: skip
FROM_THE_RIGHT = r"(?=(\d{3})+(?!\d))"
IN_THREES = r"{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"


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


def grouped() -> Tokenizer:
    """cl100k's pieces, but digits in threes from the right."""
    tokenizer = byte_level_groups()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CL100K.replace("{1,3}", IN_THREES)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def superword() -> Tokenizer:
    """SuperBPE: merges within words first, then across them; digits in threes from the right."""
    content = json.loads(byte_level().to_str())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cutter = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(FROM_THE_RIGHT), "isolated"), whole]
    )
    content["pre_tokenizer"] = json.loads(cutter.__getstate__())
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    rows = [e.tokens for e in Tokenizer.from_str(json.dumps(content)).encode_batch([TEXT])]
    for _ in range(60):
        pairs = Counter(pair for row in rows for pair in itertools.pairwise(row))
        (left, right), _ = max(pairs.items(), key=lambda item: (item[1], item[0]))
        merges.append([left, right])
        vocab.setdefault(left + right, len(vocab))
        rows = [joined(row, left, right) for row in rows]
    return Tokenizer.from_str(json.dumps(content))


def joined(row: list[str], left: str, right: str) -> list[str]:
    """A row with a pair of neighbours merged wherever it occurs, from the left."""
    found: list[str] = []
    for token in row:
        if found and (found[-1], token) == (left, right):
            found[-1] = left + right
        else:
            found.append(token)
    return found


BPE: dict[str, Callable[[], Tokenizer]] = {
    "entries": entries,
    "composed": composed,
    "folded": folded,
    "compatible": compatible,
    "grouped": grouped,
    "superword": superword,
}
