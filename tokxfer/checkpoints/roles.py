"""Which tokens a tokenizer's own files give a role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokxfer.checkpoints.configs import ROLES
from tokxfer.checkpoints.folder import read_json

_USUAL = {
    "bos": ("<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "[BOS]", "<|endoftext|>"),
    "eos": ("</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[EOS]", "<|endoftext|>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"),
    "unk": ("<unk>", "[UNK]", "<|unk|>"),
    "mask": ("<mask>", "[MASK]"),
    "sep": ("[SEP]",),
    "cls": ("[CLS]",),
}


def read_roles(path: Path) -> dict[str, int]:
    """The id of bos, eos, pad, unk, mask, sep and cls, as far as a tokenizer has them.

    What `tokenizer_config.json` and `special_tokens_map.json` say counts; where both are absent (a
    bare `tokenizer.json`), special tokens with usual names take their usual roles. A token that
    `tokenizer.json` does not have is left out.

    Args:
        path: A folder with `tokenizer.json` in it, or that file.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    content = read_json(file)
    vocabulary, special = token_ids(content)
    stated = stated_roles(file.parent)
    if stated is None:
        stated = {
            role: next((name for name in names if name in special), None)
            for role, names in _USUAL.items()
        }
        stated["unk"] = stated["unk"] or unknown_token(content)
    return {role: vocabulary[name] for role, name in stated.items() if name in vocabulary}


def stated_roles(folder: Path) -> dict[str, str | None] | None:
    """The token of each role that files beside `tokenizer.json` name; None without them."""
    settings: dict[str, Any] = {}
    found = False
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            found = True
            settings |= read_json(folder / name)
    if not found:
        return None
    return {role: token_text(settings.get(f"{role}_token")) for role in ROLES}


def token_text(value: Any) -> str | None:
    """The text of a token that a config gives as a string or as a serialized AddedToken."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def token_ids(content: Mapping[str, Any]) -> tuple[dict[str, int], set[str]]:
    """Every token of a `tokenizer.json` with its id, and the special added tokens."""
    model = content.get("model") or {}
    vocab = model.get("vocab") or {}
    if isinstance(vocab, list):  # Unigram: [token, score] in order of ids
        vocab = {entry[0]: index for index, entry in enumerate(vocab)}
    added = content.get("added_tokens") or []
    ids = {**vocab, **{token["content"]: token["id"] for token in added}}
    return ids, {token["content"] for token in added if token.get("special")}


def unknown_token(content: Mapping[str, Any]) -> str | None:
    """The token that the model itself uses for what it cannot spell."""
    model = content.get("model") or {}
    if isinstance(model.get("unk_id"), int) and isinstance(model.get("vocab"), list):
        return str(model["vocab"][model["unk_id"]][0])
    unk = model.get("unk_token")
    return unk if isinstance(unk, str) else None


def read_stop_ids(folder: Path) -> list[int]:
    """Every id at which a model folder's own configs stop generation, its tokenizer's eos first."""
    found = [read_roles(folder)["eos"]] if "eos" in read_roles(folder) else []
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            eos = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
            found += eos if isinstance(eos, list) else [eos] if isinstance(eos, int) else []
    size = vocabulary_size(folder)
    return list(dict.fromkeys(id for id in found if 0 <= id < size))


def vocabulary_size(path: Path) -> int:
    """The number of ids of a `tokenizer.json` (largest id + 1), special ones included."""
    file = path / "tokenizer.json" if path.is_dir() else path
    ids, _ = token_ids(read_json(file))
    return max(ids.values(), default=-1) + 1
