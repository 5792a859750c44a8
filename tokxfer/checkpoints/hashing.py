"""Fingerprints of tensors and files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tokxfer.checkpoints.tensorfiles import TensorInfo, start_hash

if TYPE_CHECKING:
    import torch

_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """What safetensors calls a torch dtype, e.g. "BF16"."""
    return _NAMES[str(dtype).removeprefix("torch.")]


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype that safetensors calls `name`."""
    import torch

    dtype = getattr(torch, _DTYPES[name])
    assert isinstance(dtype, torch.dtype)
    return dtype


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The raw bytes of a tensor, row-major, without a copy where it lies that way on the CPU."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]


def tensor_hash(tensor: torch.Tensor | TensorInfo) -> str:
    """The sha256 of a tensor's number format, shape and raw bytes, as hexadecimal digits.

    A tensor in memory and the same one in a file have the same hash; `write_model` returns these.
    """
    if isinstance(tensor, TensorInfo):
        digest = start_hash(tensor.dtype, tensor.shape)
        for chunk in tensor.chunks():
            digest.update(chunk)
    else:
        digest = start_hash(dtype_name(tensor.dtype), tensor.shape)
        digest.update(tensor_bytes(tensor))
    return str(digest.hexdigest())


def file_hash(path: Path) -> str:
    """The sha256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
