"""Safetensors files: headers judged without loading, files written tensor by tensor."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tokxfer.checkpoints.hashing import dtype_name, file_hash, tensor_bytes, tensor_hash
from tokxfer.checkpoints.tensorfiles import (
    Planned,
    TensorWriter,
    in_file_order,
    read_header,
    read_tensors,
)
from tokxfer.errors import FolderError

TENSORS = {
    "matrix": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "flag": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "empty": torch.zeros(0, 4),
}


def planned(tensors: dict[str, torch.Tensor]) -> list[Planned]:
    return in_file_order(
        Planned(name, dtype_name(t.dtype), tuple(t.shape), t.numel() * t.element_size())
        for name, t in tensors.items()
    )


def write(path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    plan = planned(tensors)
    with TensorWriter(path, plan) as writer:
        return {p.name: writer.write(p.name, [tensor_bytes(tensors[p.name])]) for p in plan}


def with_header(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_written_file_is_read_by_safetensors(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors", TENSORS)
    found = load_file(tmp_path / "w.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_headers_of_safetensors_files_are_understood(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors", metadata={"format": "pt"})
    found = read_header(tmp_path / "w.safetensors")
    assert {name: info.shape for name, info in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in TENSORS.items()
    }
    assert found["half"].dtype == "BF16"


def test_the_bytes_of_a_tensor_are_found_where_the_header_says(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors", TENSORS)
    for name, info in read_header(tmp_path / "w.safetensors").items():
        assert b"".join(info.chunks()) == bytes(tensor_bytes(TENSORS[name]))


def test_a_hash_is_the_same_in_memory_in_a_file_and_while_writing(tmp_path: Path) -> None:
    hashes = write(tmp_path / "w.safetensors", TENSORS)
    infos = read_header(tmp_path / "w.safetensors")
    for name, tensor in TENSORS.items():
        assert hashes[name] == tensor_hash(tensor) == tensor_hash(infos[name])


def test_a_hash_tells_shapes_and_dtypes_apart() -> None:
    zeros = torch.zeros(2, 3)
    others = [zeros.reshape(3, 2), zeros.to(torch.int32), zeros + 1]
    assert len({tensor_hash(tensor) for tensor in (zeros, *others)}) == 4


def test_a_hash_sees_a_transposed_view_as_its_rows() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    assert tensor_hash(matrix.T) == tensor_hash(matrix.T.contiguous())


def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a").startswith("ba7816bf")


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["float32", "bfloat16", "uint8", "int64"]),
                          st.integers(0, 5)), min_size=1, max_size=6))  # fmt: skip
def test_any_mixture_of_number_formats_is_aligned(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("mixture") / "w.safetensors"
    tensors = {
        f"t{index}": torch.arange(length).to(getattr(torch, kind))
        for index, (kind, length) in enumerate(kinds)
    }
    write(path, tensors)
    found = load_file(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_plan_that_is_not_kept_is_noticed(tmp_path: Path) -> None:
    plan = planned({"a": torch.zeros(2), "b": torch.zeros(2)})
    with (
        pytest.raises(AssertionError, match="in place of"),
        TensorWriter(tmp_path / "w.safetensors", plan) as writer,
    ):
        writer.write("b", [b"12345678"])
    with (
        pytest.raises(AssertionError, match="not every"),
        TensorWriter(tmp_path / "w.safetensors", plan) as writer,
    ):
        writer.write("a", [b"12345678"])


@pytest.mark.parametrize("length", [0, 4, 40, 200])
def test_a_truncated_file_is_called_truncated(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    write(path, TENSORS)
    content = path.read_bytes()
    path.write_bytes(content[: min(length, len(content) - 10)] if length < 200 else content[:-10])
    with pytest.raises(FolderError, match="truncated") as failure:
        read_header(path)
    assert str(path) in failure.value.message
    assert failure.value.hint


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"not json at all", b""),
        ([1, 2], b""),
        ({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}, b"1234"),
    ],
    ids=["no JSON", "no object", "no offsets", "wrong size", "a gap", "too long", "no shape"],
)
def test_a_corrupt_file_is_called_unsound(tmp_path: Path, header: Any, data: bytes) -> None:
    path = with_header(tmp_path / "w.safetensors", header, data)
    with pytest.raises(FolderError, match="not a sound safetensors file"):
        read_header(path)


def test_random_bytes_are_called_unsound(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 1000)
    with pytest.raises(FolderError, match="does not begin with a header"):
        read_header(tmp_path / "w.safetensors")


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write(path, TENSORS)
    info = read_header(path)["matrix"]
    path.write_bytes(path.read_bytes()[: info.start + 8])
    with pytest.raises(FolderError, match="middle of a tensor"):
        list(info.chunks())


def sharded(folder: Path, weight_map: dict[str, Any]) -> Path:
    save_file({"a": torch.zeros(2)}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": torch.ones(2)}, folder / "model-00002-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_shards_are_read_through_the_index(tmp_path: Path) -> None:
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    found = read_tensors(sharded(tmp_path, names))
    assert {name: info.file.name for name, info in found.items()} == names


@pytest.mark.parametrize(
    ("weight_map", "sentence"),
    [
        ({"a": "model-00003-of-00003.safetensors"}, "lacks 1 of 1 weight files"),
        ({"a": "model-00002-of-00002.safetensors"}, "lacks 1 tensor"),
        ({"a": "../elsewhere.safetensors"}, "names a file elsewhere"),
        ({}, "has no weight_map"),
    ],
)
def test_an_index_that_is_wrong_is_explained(
    tmp_path: Path, weight_map: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FolderError, match=sentence) as failure:
        read_tensors(sharded(tmp_path, weight_map))
    assert failure.value.hint


def test_an_index_that_is_no_json_is_explained(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(FolderError, match="is not JSON"):
        read_tensors(tmp_path)
