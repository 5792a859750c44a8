"""Kinds of BPE tokenizers beyond the families, for what their canonical sequences are."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenizers import Tokenizer

from tests.families import byte_level_groups

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


BPE: dict[str, Callable[[], Tokenizer]] = {"entries": entries}
