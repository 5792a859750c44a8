"""A tokenizer of bytes for a model: 256 tokens, and the special ones that its texts are framed by.

It takes a donor's place in a transplant. Any text is its UTF-8, nothing is changed on the way, and
decoding gives it back. Special tokens keep their names, so that a chat template still fits.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokxfer.checkpoints import ModelFolder, read_stop_ids
from tokxfer.checkpoints.chattemplates import read_templates, write_templates
from tokxfer.checkpoints.folder import read_json
from tokxfer.checkpoints.writing import write_json
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind, Match, MatchKind
from tokxfer.vocabulary.reading import content_of
from tokxfer.vocabulary.spelling import BYTE_TO_CHARACTER
from tokxfer.workflows.framing import TEXTS, around, entry, step

BYTES = "bytes"
"""The word that asks for it where a donor is named; a folder of that name is `./bytes`."""


class ByteDonor:
    """A folder with a tokenizer of bytes, which is gone when nobody needs it any more.

    Args:
        base: The model that is to read bytes.
        vocabulary: Its vocabulary.

    Attributes:
        path: The folder.

    Raises:
        UnsupportedError: The model is an encoder.
    """

    def __init__(self, base: ModelFolder, vocabulary: ByteVocabulary) -> None:
        if base.embeddings.headless:
            raise UnsupportedError(
                f"{base.name} is an encoder: it writes no text, and its sentences would be long.",
                "Give a causal language model.",
            )
        self.path = Path(tempfile.mkdtemp(prefix="tokxfer-bytes-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        file = base.path / "tokenizer_config.json"
        templates = read_templates(base.path, read_json(file) if file.is_file() else {})
        kept = kept_specials(vocabulary, read_stop_ids(base.path), templates.values())
        write_json(self.path / "tokenizer.json", byte_tokenizer(vocabulary, kept))
        names = {
            f"{role}_token": vocabulary.names[token]
            for role, token in vocabulary.roles.items()
            if ":" not in role and token in kept
        }
        config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
        extra = [vocabulary.names[token] for token in kept]
        extra = [name for name in extra if name not in names.values()]
        config |= {"extra_special_tokens": extra} if extra else {}
        write_json(self.path / "tokenizer_config.json", config)
        write_templates(templates, self.path)


def kept_specials(base: ByteVocabulary, stops: Sequence[int], templates: Any) -> list[int]:
    """The special tokens that a model of bytes still needs, by id: roles, frames, ends, chats."""
    text = "".join(templates)
    framing = {name for sides in TEXTS for name, _ in around(base.tokenizer, *sides) if name}
    needed = {*stops, *(token for role, token in base.roles.items() if ":" not in role)}
    return [
        token
        for token in np.flatnonzero(base.kinds == Kind.SPECIAL).tolist()
        if token in needed or base.names[token] in framing or base.names[token] in text
    ]


def byte_tokenizer(base: ByteVocabulary, specials: Sequence[int]) -> dict[str, Any]:
    """The content of `tokenizer.json`: a byte's id is its value; special tokens stand behind.

    Args:
        base: The vocabulary whose special tokens, and whose frame of texts, are kept.
        specials: The ids of these tokens.
    """
    names = [base.names[token] for token in specials]
    known = {each["content"]: each for each in content_of(base.source).get("added_tokens") or []}
    added = [
        {**known.get(name, entry(name)), "id": number, "special": True}
        for number, name in enumerate(names, start=256)
    ]
    frames = [around(base.tokenizer, *texts) for texts in TEXTS]
    framed = any(name for frame in frames for name, _ in frame)
    ids = {name: number for number, name in enumerate(names, start=256)}
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {**by_bytes, "use_regex": False},
        "post_processor": step(None, frames, ids) if framed else None,
        "decoder": {**by_bytes, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {BYTE_TO_CHARACTER[value]: value for value in range(256)},
            "merges": [],
        },
    }


def special_only(found: Match) -> Match:
    """A match in which special tokens take over rows, and bytes do not: a method mixes them."""
    text = found.how == MatchKind.BYTES
    return dataclasses.replace(
        found,
        base_ids=np.where(text, -1, found.base_ids),
        output_ids=np.where(text, -1, found.output_ids),
        how=np.where(text, MatchKind.NONE, found.how).astype(np.uint8),
    )
