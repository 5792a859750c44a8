"""How a tokenizer's own steps cut a text, without the space that they would put before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Spans = Callable[[str], list[tuple[int, int]]]


def cutting(pre_tokenizer: Mapping[str, Any] | None, normalizer: Mapping[str, Any] | None) -> Spans:
    """The function from a text to its pre-tokens' spans in characters; what is dropped is in none.

    Args:
        pre_tokenizer, normalizer: Their content in `tokenizer.json`.
    """
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.WordLevel({"": 0}, unk_token="")).to_str())
    steps = {"normalizer": normalizer, "pre_tokenizer": unprefixed(pre_tokenizer)}
    tokenizer = Tokenizer.from_str(json.dumps(bare | steps))

    def spans(text: str) -> list[tuple[int, int]]:
        return list(tokenizer.encode(text).offsets)

    return spans


def loses(spans: Spans, character: str) -> bool:
    """Whether a character is in no pre-token."""
    return not any(first <= 1 < last for first, last in spans(f"a{character}a"))


def unprefixed(step: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A pre-tokenizer that puts no space before a text."""
    if step is None:
        return None
    found = dict(step)
    if "add_prefix_space" in found:
        found["add_prefix_space"] = False
    if found["type"] == "Metaspace":
        found["prepend_scheme"] = "never"
    if "pretokenizers" in found:
        found["pretokenizers"] = [unprefixed(part) for part in found["pretokenizers"]]
    return found
