"""What several test modules of this room share: one vocabulary of each family, read once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.families import FAMILIES
from tokxfer.vocabulary import ByteVocabulary

NAMES = sorted(FAMILIES)
PAIRS = [(base, donor) for base in NAMES for donor in NAMES]
LOSSLESS = {  # how a text begins in the family's bytes
    "byte_level": b"",
    "byte_level_groups": b"",
    "gemma": b"",
    "sentencepiece_bpe": b" ",
}


@cache
def vocabulary(name: str) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(FAMILIES[name]())


def content_of(name: str) -> dict[str, Any]:
    """A fresh copy of a family's `tokenizer.json`, to be changed."""
    content: dict[str, Any] = json.loads(FAMILIES[name]().to_str())
    return content


def write(folder: Path, content: dict[str, Any], **files: Any) -> Path:
    """Write a tokenizer folder; `files` are further JSON files by their stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, body in {"tokenizer": content, **files}.items():
        (folder / f"{stem}.json").write_text(json.dumps(body), encoding="utf-8")
    return folder


def small_bpe(vocab: dict[str, int], **changes: Any) -> dict[str, Any]:
    """The content of a byte-level BPE without merges."""
    model = {"type": "BPE", "vocab": vocab, "merges": [], **changes.pop("model", {})}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": model,
        **changes,
    }


def added(name: str, token: int, *, special: bool) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": name, "special": special, **flags}
