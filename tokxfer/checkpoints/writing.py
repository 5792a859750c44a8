"""A model written as a stream: one tensor in memory at a time, hashed on the way."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.folder import ModelFolder
from tokxfer.checkpoints.hashing import dtype_name, tensor_bytes, torch_dtype
from tokxfer.checkpoints.tensorfiles import (
    INDEX,
    SINGLE,
    Planned,
    TensorWriter,
    in_file_order,
    item_size,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOATS = ("F64", "F32", "F16", "BF16")
DEFAULT_SHARD_SIZE = 5 * 10**9
_SENTENCE = re.compile(
    r"modules\.json|config_sentence_transformers\.json|sentence_\w+_config\.json"
)
_CARRIED = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")


def write_model(
    source: ModelFolder,
    target: Path,
    *,
    replace: Mapping[str, Tensor],
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any] | None,
    dtype: torch.dtype | None = None,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    advance: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """Write config, generation config and weights of a model whose vocabulary was replaced.

    Every tensor of the source but the replaced ones passes through as raw bytes, or converted when
    `dtype` is given; stored copies of a tied matrix are left out. Licences are copied, and what
    multimodal models, remote-code models and sentence encoders need beside their weights. The
    tokenizer is not.

    Args:
        source: The base model.
        target: An existing folder.
        replace: New tensors by name; names that the source lacks are added.
        config: The new config.json.
        generation_config: The new generation_config.json; None writes none.
        dtype: Number format of every floating-point tensor; None keeps each one's own, and a
            replaced tensor takes the format of the one that it replaces.
        max_shard_size: Largest weight file, in bytes, unless one tensor alone is larger.
        advance: Called with the bytes of each tensor written.

    Returns:
        The `tensor_hash` of every tensor written, by name.
    """
    planned = [
        _plan(source, name, replace.get(name), dtype)
        for name in dict.fromkeys([*source.tensors, *replace])
        if name in replace or name not in source.embeddings.redundant
    ]
    shards = plan_shards(planned, max_shard_size)
    hashes: dict[str, str] = {}
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        numbered = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        file = SINGLE if len(shards) == 1 else numbered
        ordered = in_file_order(shard)
        with TensorWriter(target / file, ordered) as writer:
            for tensor in ordered:
                chunks = _chunks(source, tensor, replace.get(tensor.name))
                hashes[tensor.name] = writer.write(tensor.name, chunks)
                weight_map[tensor.name] = file
                if advance:
                    advance(tensor.size)
    if len(shards) > 1:
        total = {
            "total_size": sum(tensor.size for tensor in planned),
            "total_parameters": sum(math.prod(tensor.shape) for tensor in planned),
        }
        write_json(
            target / INDEX, {"metadata": total, "weight_map": dict(sorted(weight_map.items()))}
        )
    stated = {"architectures": [source.embeddings.architecture], **config}
    write_json(target / "config.json", _with_dtype(stated, dtype))
    if generation_config is not None:
        write_json(target / "generation_config.json", generation_config)
    copy_companions(source, target)
    return hashes


def plan_shards(tensors: list[Planned], max_shard_size: int) -> list[list[Planned]]:
    """Fill files in order up to a size; a tensor that is larger gets a file of its own."""
    shards: list[list[Planned]] = [[]]
    room = max_shard_size
    for tensor in tensors:
        if tensor.size > room and shards[-1]:
            shards.append([])
            room = max_shard_size
        shards[-1].append(tensor)
        room -= tensor.size
    return shards


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file as people and transformers do: indented, UTF-8, final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def copy_companions(source: ModelFolder, target: Path) -> None:
    """Copy licences, processors, the code of remote-code models, and modules of encoders."""
    for entry in sorted(source.path.iterdir()):
        code = entry.suffix == ".py" and "auto_map" in source.config
        licence = entry.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))
        if entry.is_file() and (code or licence or entry.name in _CARRIED):
            shutil.copyfile(entry, target / entry.name)
    for name in sentence_files(source.path):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, target / name)


def sentence_files(folder: Path) -> list[Path]:
    """What sentence-transformers reads beside a model, as paths within the folder.

    Its list of modules, settings such as `max_seq_length`, and the folders of the other modules
    (pooling, dense layers), which do not depend on the tokenizer. Pickled weights stay behind where
    there are safetensors.
    """
    if not (folder / "modules.json").is_file():
        return []
    found = [Path(entry.name) for entry in folder.iterdir() if _SENTENCE.fullmatch(entry.name)]
    for module in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
        part = folder / str(module.get("path", ""))
        inside = part.is_dir() and folder.resolve() in part.resolve().parents
        files = sorted(part.rglob("*")) if inside else []
        safe = any(file.suffix == ".safetensors" for file in files)
        found += [
            file.relative_to(folder)
            for file in files
            if file.is_file() and not (safe and file.suffix == ".bin")
        ]
    return found


def _plan(source: ModelFolder, name: str, new: Tensor | None, dtype: torch.dtype | None) -> Planned:
    old = source.tensors.get(name)
    shape = tuple(new.shape) if new is not None else old.shape if old else ()
    stored = old.dtype if old else dtype_name(new.dtype) if new is not None else ""
    if dtype is not None and stored in FLOATS:
        stored = dtype_name(dtype)
    if new is None and old is not None and old.dtype == stored:
        return Planned(name, stored, shape, old.size)
    return Planned(name, stored, shape, math.prod(shape) * item_size(stored))


def _chunks(
    source: ModelFolder, tensor: Planned, new: Tensor | None
) -> Iterator[bytes | memoryview]:
    if new is None and source.tensors[tensor.name].dtype == tensor.dtype:
        yield from source.tensors[tensor.name].chunks()
        return
    content = source.read(tensor.name) if new is None else new
    yield tensor_bytes(content.to(torch_dtype(tensor.dtype)))


def _with_dtype(config: Mapping[str, Any], dtype: torch.dtype | None) -> dict[str, Any]:
    """The config with its dtype changed where it states one, nested configs included."""
    new = dict(config)
    if dtype is None:
        return new
    name = str(dtype).removeprefix("torch.")
    for key, value in new.items():
        if isinstance(value, dict):
            stated_inside = {"dtype", "torch_dtype"} & value.keys()
            new[key] = _with_dtype(value, dtype) if stated_inside else value
    stated = [key for key in ("dtype", "torch_dtype") if key in new]
    return new | dict.fromkeys(stated or ["dtype"], name)
