"""What tests of the transplant share: tensors read back, tokenizers with other ids."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

INPUT = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
OUTPUT = ("lm_head.weight", "embed_out.weight")


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder, from all its weight files."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def matrix_of(folder: Path, ends: tuple[str, ...] = INPUT) -> torch.Tensor:
    """The input matrix of a folder, or the output matrix with `OUTPUT`."""
    (found,) = (tensor for name, tensor in tensors_of(folder).items() if name.endswith(ends))
    return found


def json_of(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return torch.equal(left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8))


def body_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor that has no row per token."""
    sized = (*INPUT, *OUTPUT, "lm_head.bias")
    return {name: t for name, t in tensors_of(folder).items() if not name.endswith(sized)}


def renumbered(tokenizer: Path, target: Path, new_ids: list[int]) -> Path:
    """A copy of a tokenizer folder in which old id i is called `new_ids[i]`; text is cut the same.

    Special tokens are put into the model's own vocabulary: the tokenizers library would otherwise
    number them anew behind it.
    """
    shutil.copytree(tokenizer, target, ignore=shutil.ignore_patterns("*.safetensors"))
    content = json_of(tokenizer, "tokenizer.json")
    model = content["model"]
    if isinstance(model["vocab"], list):
        order = sorted(range(len(new_ids)), key=new_ids.__getitem__)
        model["vocab"] = [model["vocab"][old] for old in order]
        model["unk_id"] = new_ids[model["unk_id"]]
    else:
        old_ids = model["vocab"] | {t["content"]: t["id"] for t in content["added_tokens"]}
        model["vocab"] = {name: new_ids[old] for name, old in old_ids.items()}
    for token in content["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    for token in ((content["post_processor"] or {}).get("special_tokens") or {}).values():
        token["ids"] = [new_ids[old] for old in token["ids"]]
    (target / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return target


def shuffled(size: int, seed: int = 0) -> list[int]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return order
