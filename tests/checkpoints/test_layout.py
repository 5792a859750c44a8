"""Where the rows of the vocabulary are: asked of the model itself, checked against the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import Tiny
from tokxfer.checkpoints import ModelFolder, load_model, skeleton
from tokxfer.errors import FolderError, UnsupportedError


def change_config(path: Path, **values: Any) -> None:
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(content | values))


def change_weights(path: Path, add: dict[str, torch.Tensor], remove: tuple[str, ...] = ()) -> None:
    weights = load_file(path / "model.safetensors") | add
    for name in remove:
        del weights[name]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        ("llama", {}, ("model.embed_tokens.weight", None, None)),
        ("llama", {"tied": False}, ("model.embed_tokens.weight", "lm_head.weight", None)),
        ("gpt2", {}, ("transformer.wte.weight", None, None)),
        ("gemma", {}, ("model.embed_tokens.weight", None, None)),
        ("qwen2", {"shard": "20KB"}, ("model.embed_tokens.weight", None, None)),
        ("gpt_neox", {"tied": False}, ("gpt_neox.embed_in.weight", "embed_out.weight", None)),
        ("phi", {"tied": False}, ("model.embed_tokens.weight", "lm_head.weight", "lm_head.bias")),
        ("gemma3", {}, ("language_model.model.embed_tokens.weight", None, None)),
    ],
)
def test_embeddings_are_found_in_every_architecture(
    tiny: Tiny, kind: str, options: dict[str, Any], names: tuple[str | None, ...]
) -> None:
    found = ModelFolder.open(tiny.model(kind, **options)).embeddings
    assert (found.input, found.output, found.bias) == names
    assert found.tied == (names[1] is None)
    assert (found.rows, found.dim, found.other, found.redundant) == (420, 16, (), ())


def test_an_encoder_has_an_input_matrix_and_no_head(tiny: Tiny) -> None:
    found = ModelFolder.open(tiny.model("bert")).embeddings
    assert (found.input, found.output, found.bias) == (
        "embeddings.word_embeddings.weight", None, None,
    )  # fmt: skip
    assert found.headless
    assert not found.tied
    assert (found.other, found.redundant, found.architecture) == ((), (), "BertModel")
    assert not ModelFolder.open(tiny.model("llama")).embeddings.headless


def test_a_head_for_classes_is_no_encoder(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("bert"))
    change_config(path, architectures=["BertForSequenceClassification"])
    with pytest.raises(UnsupportedError, match="BertForSequenceClassification, not a causal"):
        _ = ModelFolder.open(path).embeddings


def test_an_encoder_is_not_loaded_as_a_model_that_predicts_text(tiny: Tiny) -> None:
    with pytest.raises(UnsupportedError, match=r"is an encoder \(BertModel\): it predicts no text"):
        load_model(tiny.model("bert"))


def test_matrices_longer_than_the_tokenizer_are_counted_whole(tiny: Tiny) -> None:
    assert ModelFolder.open(tiny.model("llama", rows=448)).embeddings.rows == 448


def test_names_without_the_models_prefix_are_found(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("gpt2"))
    weights = load_file(path / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    save_file(bare, path / "model.safetensors", metadata={"format": "pt"})
    assert ModelFolder.open(path).embeddings.input == "wte.weight"


def test_untied_without_a_head_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_config(path, tie_word_embeddings=False)
    with pytest.raises(FolderError, match="its head would be random") as failure:
        _ = ModelFolder.open(path).embeddings
    assert "tie_word_embeddings" in (failure.value.hint or "")


def test_a_tied_matrix_stored_twice_is_tied_and_its_copy_redundant(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    weights = load_file(path / "model.safetensors")
    change_weights(path, {"lm_head.weight": weights["model.embed_tokens.weight"].clone()})
    found = ModelFolder.open(path).embeddings
    assert found.tied
    assert found.redundant == ("lm_head.weight",)


def test_two_different_matrices_are_untied_whatever_the_config_says(tiny: Tiny) -> None:
    """transformers loads them untied as well."""
    path = tiny.copy(tiny.model("llama"))
    change_weights(path, {"lm_head.weight": torch.randn(420, 16)})
    found = ModelFolder.open(path).embeddings
    assert not found.tied
    assert found.output == "lm_head.weight"
    model = load_model(path)
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight


def test_a_tied_matrix_may_be_stored_under_the_heads_name(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    weights = load_file(path / "model.safetensors")
    change_weights(
        path,
        {"lm_head.weight": weights["model.embed_tokens.weight"]},
        remove=("model.embed_tokens.weight",),
    )
    found = ModelFolder.open(path).embeddings
    assert (found.input, found.output, found.tied) == ("lm_head.weight", None, True)


def test_no_embedding_at_all_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_weights(path, {}, remove=("model.embed_tokens.weight",))
    with pytest.raises(FolderError, match="no tensor for the input embeddings"):
        _ = ModelFolder.open(path).embeddings


def test_a_config_with_another_vocabulary_size_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_config(path, vocab_size=423)
    with pytest.raises(FolderError, match=r"vocab_size 423, but .* has 420 rows"):
        _ = ModelFolder.open(path).embeddings


def test_a_tensor_that_the_model_does_not_know_but_is_as_long_as_the_vocabulary_is_listed(
    tiny: Tiny,
) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_weights(path, {"model.layers.2.shared_head.weight": torch.randn(420, 16)})
    found = ModelFolder.open(path).embeddings
    assert found.other == ("model.layers.2.shared_head.weight",)
    assert found.tied


def test_a_vocabulary_as_long_as_the_model_is_wide_confuses_nothing(tiny: Tiny) -> None:
    found = ModelFolder.open(tiny.model("llama", hidden=32, tokens=300, rows=300)).embeddings
    square = ModelFolder.open(tiny.model("llama", hidden=300, tokens=300, rows=300)).embeddings
    assert found.other == square.other == ()


def test_a_head_of_another_task_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_config(path, architectures=["LlamaForSequenceClassification"])
    with pytest.raises(UnsupportedError, match="LlamaForSequenceClassification, not a causal"):
        _ = ModelFolder.open(path).embeddings


def test_an_unknown_model_type_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_config(path, model_type="hyperllama9")
    with pytest.raises(UnsupportedError, match="does not know the model type"):
        _ = ModelFolder.open(path).embeddings


def test_remote_code_is_refused_without_the_flag(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    code = {"AutoConfig": "here.MyConfig", "AutoModelForCausalLM": "here.MyModel"}
    change_config(path, model_type="mine", auto_map=code)
    with pytest.raises(UnsupportedError, match="needs Python code") as failure:
        _ = ModelFolder.open(path).embeddings
    assert "--trust-remote-code" in (failure.value.hint or "")


def test_remote_code_is_run_with_the_flag(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.copy(tiny.model("llama"))
    code = {"AutoConfig": "here.MyConfig", "AutoModelForCausalLM": "here.MyModel"}
    change_config(path, model_type="mine", architectures=["MyModel"], auto_map=code)
    (path / "here.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MyModel(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    found = ModelFolder.open(path, trust_remote_code=True).embeddings
    assert found.input == "model.embed_tokens.weight"
    assert found.architecture == "MyModel"


def test_a_config_that_makes_no_sense_is_explained(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama"))
    change_config(path, num_attention_heads="many")
    with pytest.raises(FolderError, match=r"config\.json of .* cannot be read by transformers"):
        _ = ModelFolder.open(path).embeddings


def test_a_head_bias_that_is_not_stored_is_listed(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("phi", tied=False))
    change_weights(path, {}, remove=("lm_head.bias",))
    found = ModelFolder.open(path).embeddings
    assert (found.bias, found.other) == (None, ("lm_head.bias",))


def test_a_model_without_plain_embeddings_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "get_output_embeddings", lambda _: None)
    with pytest.raises(UnsupportedError, match="no plain input and output embeddings"):
        _ = ModelFolder.open(tiny.copy(tiny.model())).embeddings


def test_embeddings_that_the_model_does_not_hold_are_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    elsewhere = torch.nn.Embedding(420, 16)
    monkeypatch.setattr(LlamaForCausalLM, "get_input_embeddings", lambda _: elsewhere)
    with pytest.raises(UnsupportedError, match="does not hold its own embeddings"):
        _ = ModelFolder.open(tiny.copy(tiny.model())).embeddings


def test_a_skeleton_takes_no_memory(tiny: Tiny) -> None:
    model = skeleton(tiny.model("phi", tied=False))
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
