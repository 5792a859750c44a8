"""Models written as a stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.tiny import Tiny
from tokxfer.checkpoints import (
    ModelFolder,
    load_model,
    rewrite_config,
    rewrite_generation_config,
    tensor_hash,
    write_model,
)
from tokxfer.checkpoints.tensorfiles import Planned
from tokxfer.checkpoints.writing import plan_shards


def transplanted(path: Path, out: Path, rows: int = 300, **options: Any) -> ModelFolder:
    """Write `path` with matrices of `rows` random rows, and open the result."""
    source = ModelFolder.open(path)
    layout = source.embeddings
    names = [name for name in (layout.input, layout.output, layout.bias) if name]
    out.mkdir()
    write_model(
        source,
        out,
        replace={n: torch.randn(rows, *source.tensors[n].shape[1:]) for n in names},
        config=rewrite_config(source.config, vocab_size=rows, roles={}, tied=layout.tied),
        generation_config=rewrite_generation_config(source.generation_config, roles={}),
        **options,
    )
    for file in source.tokenizer_files():
        (out / file.name).write_bytes(file.read_bytes())
    return ModelFolder.open(out)


KINDS = [
    ("llama", {}),
    ("llama", {"tied": False, "shard": "20KB"}),
    ("gpt2", {}),
    ("gpt_neox", {"tied": False}),
    ("phi", {"tied": False}),
    ("qwen2", {"dtype": "bfloat16"}),
    ("gemma3", {}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_what_was_written_loads_with_the_new_number_of_rows(
    tiny: Tiny, kind: str, options: dict[str, Any]
) -> None:
    result = transplanted(tiny.model(kind, **options), tiny.fresh())
    model = load_model(result.path)
    assert model.get_input_embeddings().weight.shape[0] == 300
    assert model.get_output_embeddings().weight.shape[0] == 300
    assert torch.isfinite(model(torch.tensor([[1, 299]])).logits).all()


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_body_passes_through_bit_for_bit(
    tiny: Tiny, kind: str, options: dict[str, Any]
) -> None:
    source = ModelFolder.open(tiny.model(kind, **options))
    result = transplanted(source.path, tiny.fresh())
    layout = source.embeddings
    body = source.tensors.keys() - {layout.input, layout.output, layout.bias}
    assert body
    for name in body:
        assert tensor_hash(source.tensors[name]) == tensor_hash(result.tensors[name])


def test_the_body_is_never_read_as_tensors(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.model()
    monkeypatch.setattr(ModelFolder, "read", lambda *_: pytest.fail("a tensor was loaded"))
    transplanted(path, tiny.fresh())


def test_nothing_replaced_gives_the_same_weights(tiny: Tiny) -> None:
    source = ModelFolder.open(tiny.model("phi", tied=False))
    out = tiny.fresh()
    out.mkdir()
    hashes = write_model(source, out, replace={}, config=source.config, generation_config=None)
    before = load_file(source.path / "model.safetensors")
    after = load_file(out / "model.safetensors")
    assert before.keys() == after.keys() == hashes.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (out / "generation_config.json").exists()


def test_hashes_are_those_of_the_tensors_written(tiny: Tiny) -> None:
    source = ModelFolder.open(tiny.model())
    out = tiny.fresh()
    out.mkdir()
    hashes = write_model(source, out, replace={}, config=source.config, generation_config=None)
    assert hashes == {
        name: tensor_hash(tensor) for name, tensor in load_file(out / "model.safetensors").items()
    }


def test_a_replaced_tensor_takes_the_format_of_the_one_before(tiny: Tiny) -> None:
    result = transplanted(tiny.model("llama", dtype="bfloat16"), tiny.fresh())
    assert {info.dtype for info in result.tensors.values()} == {"BF16"}


def test_a_dtype_is_given_to_weights_and_config(tiny: Tiny) -> None:
    path = tiny.model("gemma3")
    result = transplanted(path, tiny.fresh(), dtype=torch.bfloat16)
    assert {info.dtype for info in result.tensors.values()} == {"BF16"}
    assert result.config["dtype"] == "bfloat16"
    assert load_model(result.path).dtype == torch.bfloat16


def test_a_converted_body_is_rounded_once(tiny: Tiny) -> None:
    source = ModelFolder.open(tiny.model())
    result = transplanted(source.path, tiny.fresh(), dtype=torch.float16)
    name = "model.norm.weight"
    assert torch.equal(result.read(name), source.read(name).half())


def test_integers_keep_their_format(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    weights = load_file(path / "model.safetensors") | {"steps": torch.tensor([3])}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    result = transplanted(path, tiny.fresh(), dtype=torch.bfloat16)
    assert result.tensors["steps"].dtype == "I64"


def test_shards_are_no_larger_than_asked_and_the_index_names_them_all(tiny: Tiny) -> None:
    result = transplanted(tiny.model(), tiny.fresh(), max_shard_size=25_000)
    index = json.loads((result.path / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert files == {path.name for path in result.path.glob("*.safetensors")}
    assert len(files) > 1
    assert index["weight_map"].keys() == result.tensors.keys()
    assert index["metadata"]["total_size"] == result.size
    assert all(
        sum(info.size for info in result.tensors.values() if info.file.name == file) <= 25_000
        for file in files
    )
    assert load_model(result.path).num_parameters() == index["metadata"]["total_parameters"]


def test_a_redundant_copy_of_a_tied_matrix_is_not_written(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    weights = load_file(path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    result = transplanted(path, tiny.fresh())
    assert "lm_head.weight" not in result.tensors


def test_a_tensor_that_the_source_lacks_is_added(tiny: Tiny) -> None:
    source = ModelFolder.open(tiny.model())
    out = tiny.fresh()
    out.mkdir()
    head = torch.randn(420, 16)
    write_model(
        source,
        out,
        replace={"lm_head.weight": head},
        config={**source.config, "tie_word_embeddings": False},
        generation_config=None,
    )
    assert torch.equal(load_model(out).get_output_embeddings().weight, head)


def test_progress_counts_the_bytes_written(tiny: Tiny) -> None:
    counted: list[int] = []
    result = transplanted(tiny.model(), tiny.fresh(), advance=counted.append)
    assert sum(counted) == result.size


def test_licences_processors_and_code_travel_with_the_model(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    for name in ("LICENSE.txt", "NOTICE", "preprocessor_config.json", "code.py", "notes.txt"):
        (path / name).write_text("{}")
    plain = transplanted(path, tiny.fresh()).path
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "code.M"}}))
    remote = transplanted(path, tiny.fresh()).path
    carried = {"LICENSE.txt", "NOTICE", "preprocessor_config.json"}
    assert carried <= {entry.name for entry in plain.iterdir()}
    assert not (plain / "code.py").exists()
    assert (remote / "code.py").exists()
    assert not (remote / "notes.txt").exists()


def test_architectures_are_stated_where_the_source_left_them_out(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    config = json.loads((path / "config.json").read_text())
    del config["architectures"]
    (path / "config.json").write_text(json.dumps(config))
    assert transplanted(path, tiny.fresh()).config["architectures"] == ["LlamaForCausalLM"]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 60))
def test_shards_keep_the_order_and_lose_nothing(sizes: list[int], limit: int) -> None:
    tensors = [Planned(str(index), "U8", (size,), size) for index, size in enumerate(sizes)]
    shards = plan_shards(tensors, limit)
    assert [tensor for shard in shards for tensor in shard] == tensors
    assert all(sum(tensor.size for tensor in shard) <= limit or len(shard) == 1 for shard in shards)
