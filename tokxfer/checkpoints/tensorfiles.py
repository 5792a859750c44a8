"""Safetensors files: headers read and checked without loading, tensors written one at a time.

A file is an 8-byte little-endian length, a JSON header of that length, then the raw bytes of the
tensors without gaps (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tokxfer.errors import FolderError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_CHUNK = 16 * 2**20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_AGAIN = "Download the file again, or copy it again from where it came."


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies, read from a header.

    Attributes:
        file: The safetensors file.
        dtype: The format's own name of the number format, e.g. "BF16".
        shape: Axis lengths.
        start: First byte in the file.
        size: Number of bytes.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The raw bytes, at most 16 MiB at a time.

        Raises:
            FolderError: If the file became shorter than its header promises.
        """
        with self.file.open("rb") as stream:
            stream.seek(self.start)
            left = self.size
            while left:
                chunk = stream.read(min(left, _CHUNK))
                if not chunk:
                    raise FolderError(f"{self.file} ended in the middle of a tensor.", _AGAIN)
                left -= len(chunk)
                yield chunk


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of one file, by name, in the order in which the file holds them.

    Raises:
        FolderError: If the file is truncated or its header is no safetensors header.
    """
    size = path.stat().st_size
    if size < 8:
        raise FolderError(f"{path} is truncated: it has only {size} bytes.", _AGAIN)
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > size - 8:
            if length > 100 * 2**20:
                raise _corrupt(path, "it does not begin with a header")
            raise FolderError(f"{path} is truncated: it ends inside its header.", _AGAIN)
        text = stream.read(length)
    try:
        header = json.loads(text)
    except ValueError:
        raise _corrupt(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    found = [(name, _entry(path, name, entry, 8 + length)) for name, entry in header.items()]
    found.sort(key=lambda item: (item[1].start, item[1].size))
    end = 8 + length
    for name, info in found:
        if info.start != end:
            raise _corrupt(path, f"the bytes of {name} do not follow the tensor before it")
        end = info.start + info.size
    if end > size:
        raise FolderError(
            f"{path} is truncated: its header promises {end:,} bytes, it has {size:,}.", _AGAIN
        )
    if end < size:
        raise _corrupt(path, f"its header promises {end:,} bytes, it has {size:,}")
    return dict(found)


def _corrupt(path: Path, why: str) -> FolderError:
    return FolderError(f"{path} is not a sound safetensors file: {why}.", _AGAIN)


def _entry(path: Path, name: str, entry: Any, base: int) -> TensorInfo:
    try:
        start, end = (int(offset) for offset in entry["data_offsets"])
        shape = tuple(int(length) for length in entry["shape"])
        dtype = str(entry["dtype"])
    except (KeyError, TypeError, ValueError):
        raise _corrupt(path, f"the entry of {name} is incomplete") from None
    if dtype in _BITS and (end - start) * 8 != math.prod(shape) * _BITS[dtype]:
        raise _corrupt(path, f"{name} has {end - start} bytes, which do not fit its shape")
    return TensorInfo(path, dtype, shape, base + start, end - start)


def item_size(dtype: str) -> int:
    """Bytes of one number of a format, at least 1."""
    return max(_BITS.get(dtype, 8) // 8, 1)


@dataclass(frozen=True)
class Planned:
    """A tensor that will be written: what the header says of it.

    Attributes:
        name: Its key.
        dtype: Number format, e.g. "BF16".
        shape: Axis lengths.
        size: Bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


class TensorWriter:
    """Writes one safetensors file, tensor by tensor, in the order of the plan.

    Args:
        path: The file to make.
        planned: Every tensor, in order. Wider number formats must come first, which keeps each
            tensor aligned; see `in_file_order`.
    """

    def __init__(self, path: Path, planned: Iterable[Planned]) -> None:
        self._planned = list(planned)
        self._next = 0
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for tensor in self._planned:
            header[tensor.name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [offset, offset + tensor.size],
            }
            offset += tensor.size
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        self._stream: BinaryIO = path.open("wb")
        self._stream.write(struct.pack("<Q", len(text)) + text)

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> str:
        """Write the next tensor of the plan and return its `tensor_hash`."""
        tensor = self._planned[self._next]
        assert tensor.name == name, f"{name} written in place of {tensor.name}"
        digest = start_hash(tensor.dtype, tensor.shape)
        written = 0
        for chunk in chunks:
            self._stream.write(chunk)
            digest.update(chunk)
            written += len(chunk)
        assert written == tensor.size, f"{name}: {written} bytes written, {tensor.size} planned"
        self._next += 1
        return str(digest.hexdigest())

    def close(self) -> None:
        """Close the file; every planned tensor must have been written."""
        self._stream.close()
        assert self._next == len(self._planned), "not every planned tensor was written"

    def __enter__(self) -> TensorWriter:
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if kind is None:
            self.close()
        else:
            self._stream.close()


def in_file_order(tensors: Iterable[Planned]) -> list[Planned]:
    """Wider number formats first, so that every tensor is aligned; otherwise the order given."""
    return sorted(tensors, key=lambda tensor: -item_size(tensor.dtype))


def start_hash(dtype: str, shape: Iterable[int]) -> Any:
    """A sha256 that has taken in a tensor's number format and shape; its raw bytes come next."""
    return hashlib.sha256(f"{dtype}{list(shape)}".encode())


def check_index(folder: Path, index: Mapping[str, Any]) -> dict[str, list[str]]:
    """The tensor names of each shard that an index names.

    Raises:
        FolderError: If the index has no weight map, or a shard is missing.
    """
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FolderError(f"{folder / INDEX} has no weight_map.", _AGAIN)
    shards: dict[str, list[str]] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise FolderError(f"{folder / INDEX} names a file elsewhere: {shard!r}.", _AGAIN)
        shards.setdefault(shard, []).append(name)
    missing = sorted(shard for shard in shards if not (folder / shard).is_file())
    if missing:
        raise FolderError(
            f"{folder} lacks {len(missing)} of {len(shards)} weight files that its index names: "
            f"{', '.join(missing[:3])}{'…' if len(missing) > 3 else ''}.",
            "Download or copy the missing files.",
        )
    return shards


def read_tensors(folder: Path) -> dict[str, TensorInfo]:
    """Every tensor of a model folder, from the file that transformers would load.

    A single `model.safetensors` wins over an index, as it does in transformers.

    Raises:
        FolderError: If a file is missing, truncated, corrupt, or lacks a tensor the index promises.
    """
    if (folder / SINGLE).is_file():
        return read_header(folder / SINGLE)
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except ValueError:
        raise FolderError(f"{folder / INDEX} is not JSON.", _AGAIN) from None
    tensors: dict[str, TensorInfo] = {}
    for shard, names in check_index(folder, index if isinstance(index, dict) else {}).items():
        held = read_header(folder / shard)
        wanted = set(names)
        absent = sorted(wanted - held.keys())
        if absent:
            raise FolderError(
                f"{folder / shard} lacks {len(absent)} tensor(s) that the index promises, "
                f"such as {absent[0]}.",
                _AGAIN,
            )
        tensors |= {name: info for name, info in held.items() if name in wanted}
    return tensors
