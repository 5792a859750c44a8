"""Opening a folder: what is read, and one clear sentence for each thing that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import Tiny
from tokxfer.checkpoints import ModelFolder
from tokxfer.errors import FolderError, TokxferError, UnsupportedError, UsageError


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | values))


def test_a_folder_is_opened_without_loading_it(tiny: Tiny) -> None:
    folder = ModelFolder.open(tiny.model("llama", tied=False, rows=448))
    assert folder.config["vocab_size"] == 448
    assert folder.tensors["lm_head.weight"].shape == (448, 16)
    assert folder.revision is None
    assert folder.size == sum(info.size for info in folder.tensors.values()) > 448 * 16 * 8


def test_one_tensor_is_read_in_its_own_dtype(tiny: Tiny) -> None:
    folder = ModelFolder.open(tiny.model("llama", dtype="bfloat16"))
    tensor = folder.read("model.embed_tokens.weight")
    assert tensor.dtype == folder.dtype == torch.bfloat16
    assert tensor.shape == (420, 16)


def test_a_sharded_folder_has_the_tensors_of_the_single_file(tiny: Tiny) -> None:
    whole = ModelFolder.open(tiny.model("llama"))
    shards = ModelFolder.open(tiny.model("llama", shard="20KB"))
    assert len({info.file for info in shards.tensors.values()}) > 1
    assert whole.tensors.keys() == shards.tensors.keys()
    assert all(torch.equal(whole.read(name), shards.read(name)) for name in whole.tensors)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_the_longest_sequence_is_found_under_its_several_names(tiny: Tiny, kind: str) -> None:
    assert ModelFolder.open(tiny.model(kind)).max_length == 128


def test_a_config_that_states_no_length_has_none(tiny: Tiny) -> None:
    folder = ModelFolder.open(tiny.model())
    object.__setattr__(folder, "config", {"vocab_size": 4})
    assert folder.max_length is None


def test_the_tokenizers_files_are_listed(tiny: Tiny) -> None:
    folder = ModelFolder.open(tiny.model("mistral", tokenizer="chat"))
    names = [path.name for path in folder.tokenizer_files()]
    assert names == ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]


def test_a_real_checkpoint_is_opened(shared: Path) -> None:
    folder = ModelFolder.open(shared / "models" / "stories260K")
    assert (folder.embeddings.rows, folder.embeddings.dim) == (512, 64)
    assert folder.embeddings.tied


def remove(name: str) -> Any:
    return lambda path: (path / name).unlink()


def truncate(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickle_only(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def other_name(path: Path) -> None:
    (path / "model.safetensors").rename(path / "consolidated.safetensors")


def gguf_only(path: Path) -> None:
    (path / "model.safetensors").rename(path / "model.gguf")


def adapter(path: Path) -> None:
    (path / "adapter_config.json").write_text("{}")


def slow_only(path: Path) -> None:
    (path / "tokenizer.json").rename(path / "tokenizer.model")


def broken_config(path: Path) -> None:
    (path / "config.json").write_text("{ not json")


def list_config(path: Path) -> None:
    (path / "config.json").write_text("[]")


def quantized(path: Path) -> None:
    change(path / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def quantized_inside(path: Path) -> None:
    change(path / "config.json", text_config={"quantization_config": {"quant_method": "awq"}})


def encoder_decoder(path: Path) -> None:
    change(path / "config.json", is_encoder_decoder=True)


@pytest.mark.parametrize(
    ("damage", "kind", "sentence", "hint"),
    [
        (remove("config.json"), FolderError, "has no config.json", "save_pretrained"),
        (remove("tokenizer.json"), FolderError, "has no tokenizer", "tokenizer.json"),
        (remove("model.safetensors"), FolderError, "has no weights", "Download"),
        (truncate, FolderError, "is truncated", "again"),
        (pickle_only, UnsupportedError, "only in pytorch_model.bin", "save_pretrained"),
        (other_name, FolderError, "has consolidated.safetensors, but neither", "rename"),
        (gguf_only, UnsupportedError, "GGUF", "original model"),
        (adapter, UnsupportedError, "holds an adapter", "merge_and_unload"),
        (slow_only, UnsupportedError, "only a slow tokenizer", "AutoTokenizer"),
        (broken_config, FolderError, "config.json is not JSON", "Repair"),
        (list_config, FolderError, "not a JSON object", "Repair"),
        (quantized, UnsupportedError, r"is quantized \(gptq\)", "full-precision"),
        (quantized_inside, UnsupportedError, r"is quantized \(awq\)", "full-precision"),
        (encoder_decoder, UnsupportedError, "encoder-decoder", "causal"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_handled_is_refused_in_one_sentence(
    tiny: Tiny, damage: Any, kind: type[TokxferError], sentence: str, hint: str
) -> None:
    path = tiny.copy(tiny.model())
    damage(path)
    with pytest.raises(kind, match=sentence) as failure:
        ModelFolder.open(path)
    assert "\n" not in failure.value.message
    assert str(path) in failure.value.message
    assert failure.value.hint is not None
    assert hint in failure.value.hint


def test_a_missing_shard_is_named(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", shard="20KB"))
    shards = sorted(path.glob("model-*.safetensors"))
    shards[-1].unlink()
    with pytest.raises(FolderError, match=f"lacks 1 of {len(shards)} .*{shards[-1].name}"):
        ModelFolder.open(path)


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="does not exist") as failure:
        ModelFolder.open(tmp_path / "nowhere")
    assert failure.value.hint == "Check the path."


def test_a_file_is_no_model_folder(tiny: Tiny) -> None:
    with pytest.raises(FolderError, match="is a file, not a model folder"):
        ModelFolder.open(tiny.model() / "model.safetensors")


def test_a_revision_of_a_local_folder_makes_no_sense(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="is a path on this machine"):
        ModelFolder.open(tiny.model(), revision="main")


def test_a_copy_that_was_set_aside_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / ".out.previous-12").mkdir()
    with pytest.raises(FolderError, match=r"interrupted run left its previous copy") as failure:
        ModelFolder.open(tmp_path / "out")
    assert failure.value.hint is not None
    assert "mv " in failure.value.hint
