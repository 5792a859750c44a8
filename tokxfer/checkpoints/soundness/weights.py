"""Points 1, 2, 3 and 7: one whole set of weights, that fits the config, tied as it says."""

from __future__ import annotations

import json
import re
from collections import Counter

from tokxfer.checkpoints.completeness import check_body
from tokxfer.checkpoints.refusals import refuse_config, refuse_folder
from tokxfer.checkpoints.sizes import format_size
from tokxfer.checkpoints.soundness.inspection import Inspection, Unsound
from tokxfer.checkpoints.tensorfiles import INDEX, SINGLE, read_header

_SHARD = re.compile(r"model-[0-9]+-of-[0-9]+\.safetensors")
_BLOCK = 8192


def check_files(inspection: Inspection) -> str:
    """Point 1: one set of weights, every file of it whole, nothing left over from another."""
    path = inspection.path
    refuse_folder(path)
    _ = inspection.config
    shards = {entry.name for entry in path.iterdir() if _SHARD.fullmatch(entry.name)}
    single = (path / SINGLE).is_file()
    if single and (shards or (path / INDEX).is_file()):
        other = INDEX if (path / INDEX).is_file() else sorted(shards)[0]
        raise Unsound(
            f"Two sets of weights: {SINGLE} and {other}. transformers loads {SINGLE}, which may be "
            "left over from an earlier save."
        )
    named = {SINGLE} if single else _named_in_index(inspection)
    stale = sorted(shards - named)
    if stale:
        raise Unsound(f"{stale[0]} is not in {INDEX}: left over from another save.")
    size = 0
    for name in sorted(named):
        if (path / name).is_file():  # a missing one is a matter of the weight map
            read_header(path / name)
            size += (path / name).stat().st_size
    return f"{len(named)} weight file(s), {format_size(size)}, whole."


def _named_in_index(inspection: Inspection) -> set[str]:
    try:
        weight_map = json.loads((inspection.path / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return set(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return {entry.name for entry in inspection.path.glob("*.safetensors")}


def check_weight_map(inspection: Inspection) -> str:
    """Point 7: every tensor has its file, and the config describes these tensors."""
    refuse_config(inspection.path, inspection.config)
    tensors, path = inspection.tensors, inspection.path
    if not inspection.config.get("architectures"):
        raise Unsound(
            "config.json names no architectures, so other programs cannot load the model."
        )
    located, _ = inspection.located, inspection.rows
    check_body(path.name, located, tensors)
    formats = Counter(info.dtype for info in tensors.values()).most_common()
    files = {info.file.name for info in tensors.values()}
    if INDEX in {entry.name for entry in path.iterdir()}:
        for file in files:
            extra = sorted(read_header(path / file).keys() - tensors.keys())
            if extra:
                raise Unsound(f"{INDEX} does not name {extra[0]}, which {file} holds.")
    return (
        f"{len(tensors)} tensors in {len(files)} file(s), "
        f"{', '.join(name for name, _ in formats)}, {type(located.model).__name__}."
    )


def check_vocabulary_size(inspection: Inspection) -> str:
    """Point 2: vocab_size is the number of rows, the tokenizer fits, every row is finite."""
    located, rows = inspection.located, inspection.rows
    for parameter, stored in zip(located.parameters, located.stored, strict=True):
        if stored is None:
            continue
        expected, found = located.shapes[parameter], inspection.tensors[stored].shape
        if expected[0] != found[0]:
            raise Unsound(
                f"config.json says vocab_size {expected[0]:,}, but {stored} has {found[0]:,} rows."
            )
    if not inspection.has_tokenizer:
        return f"{rows:,} rows; no tokenizer to compare with."
    if inspection.size > rows:
        raise Unsound(
            f"The tokenizer has {inspection.size:,} ids, the matrices only {rows:,} rows."
        )
    zero = 0
    for name in {stored for stored in located.stored if stored}:
        zero = max(zero, _finite(inspection, name))
    padding = rows - inspection.size
    return (
        f"{rows:,} rows for {inspection.size:,} ids"
        + (f", {padding:,} rows of padding" if padding else "")
        + (f"; {zero:,} row(s) are zero" if zero else "")
        + "."
    )


def _finite(inspection: Inspection, name: str) -> int:
    """Raise if a matrix holds a number that is not finite; return how many rows are zero."""
    import torch
    from safetensors import safe_open

    zero = 0
    with safe_open(inspection.tensors[name].file, framework="pt") as weights:
        matrix = weights.get_slice(name)
        for start in range(0, matrix.get_shape()[0], _BLOCK):
            block = matrix[start : start + _BLOCK].float()
            finite = torch.isfinite(block).reshape(len(block), -1).all(dim=1)
            if not finite.all():
                row = start + int((~finite).nonzero()[0])
                raise Unsound(f"Row {row:,} of {name} has numbers that are not finite.")
            if block.dim() > 1:
                zero += int((block == 0).all(dim=1).sum())
    return zero


def check_tying(inspection: Inspection) -> str:
    """Point 3: tied or not on purpose, and a tied matrix stored once."""
    located = inspection.located
    inner, outer, _ = located.stored
    if not located.parameters[1]:
        return f"No head: {inner} is the only matrix."
    if not located.tied:
        if outer is None:
            raise Unsound(
                f"The config says untied, but {located.parameters[1]} is not stored: the head "
                "would be random."
            )
        return f"Untied: {inner} and {outer}."
    if inner and outer:
        if located.equal:
            raise Unsound(f"The config says tied, but {inner} is stored again as {outer}.")
        raise Unsound(
            f"The config says tied, but {inner} and {outer} are both stored and differ: "
            "transformers leaves them untied, other programs may not."
        )
    return f"Tied: {inner or outer} is stored once."
