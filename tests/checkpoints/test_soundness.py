"""The nine points of a sound model folder: each wrong folder fails exactly its own point."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders

from tests.tiny import Tiny
from tokxfer.checkpoints import Check, validate_folder, write_tokenizer
from tokxfer.checkpoints.soundness import NAMES
from tokxfer.errors import FolderError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def change(path: Path, file: str, **values: Any) -> None:
    content = json.loads((path / file).read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in content.items() if value is not ...}
    (path / file).write_text(json.dumps(kept), encoding="utf-8")


def change_weights(path: Path, **values: Any) -> None:
    weights = load_file(path / SINGLE) | {k.replace("__", "."): v for k, v in values.items()}
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, path / SINGLE, metadata={"format": "pt"})


def failed(path: Path, **options: Any) -> dict[str, str]:
    return {c.name: c.detail for c in validate_folder(path, **options) if not c.ok}


def details(path: Path) -> dict[str, str]:
    return {check.name: check.detail for check in validate_folder(path)}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("llama", {"tied": False, "tokenizer": "spbpe", "rows": 512, "shard": "20KB"}),
        ("llama", {"tokenizer": "unigram"}),
        ("llama", {"tokenizer": "wordpiece"}),
        ("mistral", {"tokenizer": "chat", "eos": [419, 417]}),
        ("gpt2", {}),
        ("gpt_neox", {"tied": False}),
        ("phi", {"tied": False}),
        ("qwen2", {"dtype": "bfloat16"}),
        ("gemma", {"dtype": "float16"}),
        ("gemma3", {"tokenizer": "spbpe"}),
    ],
)
def test_folders_that_transformers_saves_are_sound(
    tiny: Tiny, kind: str, options: dict[str, Any]
) -> None:
    checks = validate_folder(tiny.model(kind, **options))
    assert tuple(check.name for check in checks) == NAMES
    assert [check for check in checks if not check.ok] == []


def test_a_real_checkpoint_is_sound(shared: Path) -> None:
    assert failed(shared / "models" / "stories260K") == {}


# Point 1


def two_sets(path: Path) -> None:
    """What saving shards over an old single file leaves behind."""
    (path / "model-00001-of-00001.safetensors").write_bytes((path / SINGLE).read_bytes())
    names = dict.fromkeys(load_file(path / SINGLE), "model-00001-of-00001.safetensors")
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))


def stray_shard(path: Path) -> None:
    (path / "model-00002-of-00002.safetensors").write_bytes((path / SINGLE).read_bytes())


def truncated(path: Path) -> None:
    (path / SINGLE).write_bytes((path / SINGLE).read_bytes()[:-50])


def no_config(path: Path) -> None:
    (path / "config.json").unlink()


def no_weights(path: Path) -> None:
    (path / SINGLE).unlink()


def adapter(path: Path) -> None:
    (path / "adapter_config.json").write_text("{}")


# Point 2


def larger_config(path: Path) -> None:
    change(path, "config.json", vocab_size=448)


def short_matrix(path: Path) -> None:
    weights = load_file(path / SINGLE)
    change_weights(path, model__embed_tokens__weight=weights["model.embed_tokens.weight"][:400])
    change(path, "config.json", vocab_size=400, eos_token_id=1, bos_token_id=1)


def undefined_row(path: Path) -> None:
    rows = load_file(path / SINGLE)["model.embed_tokens.weight"]
    rows[77, 3] = float("nan")
    change_weights(path, model__embed_tokens__weight=rows)


# Point 3


def untied_without_head(path: Path) -> None:
    change(path, "config.json", tie_word_embeddings=False)


def tied_but_stored_twice(path: Path) -> None:
    rows = load_file(path / SINGLE)["model.embed_tokens.weight"]
    change_weights(path, lm_head__weight=rows.clone())


def tied_but_different(path: Path) -> None:
    change_weights(path, lm_head__weight=torch.randn(420, 16))


# Point 4


def stale_generation_eos(path: Path) -> None:
    change(path, "generation_config.json", eos_token_id=7)


def stale_eos_list(path: Path) -> None:
    change(path, "generation_config.json", eos_token_id=[7, 8])


def no_generation_eos(path: Path) -> None:
    change(path, "generation_config.json", eos_token_id=...)


def stale_config_bos(path: Path) -> None:
    change(path, "config.json", bos_token_id=3)


def pad_beyond(path: Path) -> None:
    change(path, "generation_config.json", pad_token_id=5000)


def no_eos_in_the_tokenizer(path: Path) -> None:
    change(path, "tokenizer_config.json", eos_token=...)


def pad_beyond_the_rows(path: Path) -> None:
    change(path, "config.json", pad_token_id=5000)


def eos_of_no_kind(path: Path) -> None:
    change(path, "config.json", eos_token_id="</s>")


# Point 5


def no_tokenizer_config(path: Path) -> None:
    (path / "tokenizer_config.json").unlink()


def no_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").unlink()


def token_that_does_not_exist(path: Path) -> None:
    change(path, "tokenizer_config.json", pad_token="<pad>")


def template_of_another_tokenizer(path: Path) -> None:
    (path / "chat_template.jinja").write_text("<|im_start|>{{ messages[0]['content'] }}")


def template_without_its_eos(path: Path) -> None:
    no_eos_in_the_tokenizer(path)
    change(path, "config.json", eos_token_id=None)
    change(path, "generation_config.json", eos_token_id=None)
    (path / "chat_template.jinja").write_text("{{ messages[0]['content'] }}{{ eos_token }}")


def unreadable_tokenizer(path: Path) -> None:
    change(path, "tokenizer.json", decoder={"type": "Unheard"})


# Point 6


def flag_that_lies(path: Path) -> None:
    change(path, "tokenizer_config.json", add_bos_token=True)


def post_processor_of_another_tokenizer(path: Path) -> None:
    name = "<|endoftext|>"
    change(
        path,
        "tokenizer.json",
        post_processor={
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": name, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {name: {"id": name, "ids": [7], "tokens": [name]}},
        },
    )


# Point 7


def no_architectures(path: Path) -> None:
    change(path, "config.json", architectures=...)


def quantized(path: Path) -> None:
    change(path, "config.json", quantization_config={"quant_method": "gptq"})


def tensor_missing(path: Path) -> None:
    change_weights(path, model__norm__weight=None)


def unknown_type(path: Path) -> None:
    change(path, "config.json", model_type="hyperllama9")


def another_task(path: Path) -> None:
    change(path, "config.json", architectures=["LlamaForSequenceClassification"])


# Point 8


def no_decoder(path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(path / "tokenizer.json"))


def body_not_finite(path: Path) -> None:
    change_weights(path, model__norm__weight=torch.full((16,), float("inf")))


def body_of_another_shape(path: Path) -> None:
    change_weights(path, model__norm__weight=torch.ones(17))


# Point 9


def card(metadata: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "README.md").write_text(f"---\n{metadata}\n---\n# A model\n")

    return write


def open_card(path: Path) -> None:
    (path / "README.md").write_text("---\nlicense: mit\n# A model\n")


WRONG: list[tuple[str, Callable[[Path], None], str]] = [
    ("weights-complete", two_sets, "Two sets of weights"),
    ("weights-complete", stray_shard, "Two sets of weights"),
    ("weights-complete", truncated, "truncated"),
    ("weights-complete", no_config, "no config.json"),
    ("weights-complete", no_weights, "no weights"),
    ("weights-complete", adapter, "adapter"),
    ("vocabulary-size", larger_config, "says vocab_size 448"),
    ("vocabulary-size", undefined_row, "Row 77 of model.embed_tokens.weight"),
    ("tying", untied_without_head, "head would be random"),
    ("tying", tied_but_stored_twice, "stored again"),
    ("tying", tied_but_different, "differ"),
    ("special-ids", stale_generation_eos, "eos: the tokenizer has 419"),
    ("special-ids", stale_eos_list, "generation_config.json has 7, 8"),
    ("special-ids", no_generation_eos, "never stops"),
    ("special-ids", stale_config_bos, "config.json has 3"),
    ("special-ids", no_eos_in_the_tokenizer, "names no eos"),
    ("special-ids", pad_beyond, "5000, which is no token"),
    ("tokenizer-config", no_tokenizer_config, "would load as None"),
    ("tokenizer-config", no_tokenizer, "no tokenizer.json"),
    ("tokenizer-config", token_that_does_not_exist, "'<pad>', which tokenizer.json lacks"),
    ("tokenizer-config", template_of_another_tokenizer, "writes '<|im_start|>'"),
    ("tokenizer-config", template_without_its_eos, "uses eos_token"),
    ("tokenizer-config", unreadable_tokenizer, "PyDecoderWrapper"),
    ("post-processor", flag_that_lies, "add_bos_token is true"),
    ("post-processor", post_processor_of_another_tokenizer, "under id 7"),
    ("weight-map", no_architectures, "names no architectures"),
    ("weight-map", quantized, "quantized (gptq)"),
    ("weight-map", tensor_missing, "1 tensor(s) of llama are not stored"),
    ("weight-map", unknown_type, "does not know the model type"),
    ("weight-map", another_task, "not a causal language model"),
    ("round-trip", no_decoder, "does not survive"),
    ("round-trip", body_not_finite, "not finite"),
    ("weight-map", body_of_another_shape, "has the shape ["),
    ("model-card", card("base_model: [a/b"), "no YAML"),
    ("model-card", card("just text"), "no list of names and values"),
    ("model-card", card("base_model: {a: b}"), "not a list of names"),
    ("model-card", card("base_model_relation: transplant"), "the hub knows finetune"),
    ("model-card", card("base_model: [/home/me/model]"), "/home/me/model"),
    ("model-card", card("tags: transplant"), "tags"),
    ("model-card", open_card, "not closed"),
]


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    WRONG,
    ids=[f"{name}-{index}" for index, (name, _, _) in enumerate(WRONG)],
)
def test_a_wrong_folder_fails_exactly_its_point(
    tiny: Tiny, name: str, damage: Callable[[Path], None], sentence: str
) -> None:
    path = tiny.copy(tiny.model())
    damage(path)
    found = failed(path)
    assert list(found) == [name]
    assert sentence in found[name]


def test_every_point_has_a_folder_that_fails_it() -> None:
    assert {name for name, _, _ in WRONG} == set(NAMES)


@pytest.mark.parametrize("damage", [short_matrix, eos_of_no_kind, pad_beyond_the_rows])
def test_some_defects_break_several_points(tiny: Tiny, damage: Callable[[Path], None]) -> None:
    path = tiny.copy(tiny.model())
    damage(path)
    found = failed(path)
    expected = {
        short_matrix: "vocabulary-size",
        eos_of_no_kind: "special-ids",
        pad_beyond_the_rows: "weight-map",
    }
    assert expected[damage] in found


def test_a_tokenizer_that_the_models_class_rebuilds_is_noticed(tiny: Tiny) -> None:
    """AutoTokenizer gives every qwen2 model a Qwen2 tokenizer, whatever tokenizer.json says."""
    found = failed(tiny.model("qwen2", tokenizer="spbpe"))
    assert list(found) == ["tokenizer-config"]
    assert "Qwen2Tokenizer" in found["tokenizer-config"]


def test_a_missing_shard_fails_the_weight_map(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", shard="20KB"))
    sorted(path.glob("model-*.safetensors"))[-1].unlink()
    assert list(failed(path)) == ["weight-map"]


def test_a_tensor_that_the_index_forgets_fails_the_weight_map(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", shard="20KB"))
    index = json.loads((path / INDEX).read_text())
    shard = index["weight_map"].pop("model.norm.weight")
    (path / INDEX).write_text(json.dumps(index))
    found = failed(path)
    assert list(found) == ["weight-map"]
    weights = load_file(path / shard)
    weights["extra"] = torch.zeros(2)
    save_file(weights, path / shard, metadata={"format": "pt"})
    index["weight_map"]["model.norm.weight"] = shard
    (path / INDEX).write_text(json.dumps(index))
    assert "does not name extra" in failed(path)["weight-map"]


def test_a_missing_tensor_is_found_on_loading_where_names_cannot_be_compared(tiny: Tiny) -> None:
    """A tensor of unknown name might be what is missing, in another form."""
    path = tiny.copy(tiny.model("gpt_neox", tied=False))
    change_weights(path, gpt_neox__final_layer_norm__weight=None, gpt_neox__fused=torch.ones(16))
    found = failed(path)
    assert list(found) == ["round-trip"]
    assert "1 tensor(s) would be random" in found["round-trip"]


def test_unknown_tensors_too_small_for_what_is_missing_excuse_nothing(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("gpt_neox", tied=False))
    change_weights(path, gpt_neox__final_layer_norm__weight=None, gpt_neox__fused=torch.ones(15))
    assert "final_layer_norm.weight" in failed(path, memory_budget=1)["weight-map"]


def test_a_matrix_that_is_missing_fails_the_weight_map(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    change_weights(path, model__embed_tokens__weight=None)
    assert "embed" in failed(path)["weight-map"]


def test_bos_must_be_one_in_config_and_generation_config(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("mistral", tokenizer="chat"))
    change(path, "config.json", bos_token_id=417)
    change(path, "generation_config.json", bos_token_id=418)
    assert failed(path) == {
        "special-ids": "bos: config.json has 417, generation_config.json has 418."
    }


def test_a_shard_left_over_from_another_save_fails(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", shard="20KB"))
    first = sorted(path.glob("model-*.safetensors"))[0]
    (path / "model-00009-of-00009.safetensors").write_bytes(first.read_bytes())
    assert "left over" in failed(path)["weights-complete"]


def test_an_index_that_is_no_json_fails(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", shard="20KB"))
    (path / INDEX).write_text("{")
    assert list(failed(path)) == ["weight-map"]


def test_padding_and_zero_rows_are_told(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model("llama", rows=448))
    rows = load_file(path / SINGLE)["model.embed_tokens.weight"]
    rows[440:] = 0
    change_weights(path, model__embed_tokens__weight=rows)
    told = details(path)["vocabulary-size"]
    assert "28 rows of padding" in told
    assert "8 row(s) are zero" in told


def test_markers_noted_as_plain_text_are_no_defect(tiny: Tiny) -> None:
    """Some models were tuned on markers that their tokenizer spells in pieces."""
    donor = tiny.copy(tiny.tokenizer("bytebpe"))
    (donor / "chat_template.jinja").write_text("<|user|>{{ messages[0]['content'] }}")
    path = tiny.copy(tiny.model())
    write_tokenizer(donor, path)
    assert failed(path) == {}


def test_a_card_with_sound_metadata_passes(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    card(
        "base_model: [org/base, org/donor]\nbase_model_relation: merge\n"
        "library_name: transformers\ntags: [tokxfer]\nlicense: apache-2.0\n"
        "widget:\n- text: /think about it"
    )(path)
    assert failed(path) == {}
    assert "base_model" in details(path)["model-card"]


def test_a_card_without_metadata_has_nothing_to_check(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    (path / "README.md").write_text("# A model\n")
    assert "nothing to check" in details(path)["model-card"]


def test_a_model_beyond_the_memory_budget_is_not_loaded(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints.soundness import running

    monkeypatch.setattr(running, "load_with_report", lambda *_, **__: pytest.fail("loaded"))
    checks = {c.name: c for c in validate_folder(tiny.model(), memory_budget=1000)}
    assert checks["round-trip"].ok
    assert "Not loaded: it takes" in checks["round-trip"].detail


def test_a_point_that_an_earlier_failure_makes_meaningless_says_so(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    truncated(path)
    assert details(path)["tying"] == "Not judged, because weights-complete failed."


def test_running_out_of_memory_is_no_defect_of_the_folder(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints.soundness import running

    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(running, "load_with_report", exhaust)
    checks = {c.name: c for c in validate_folder(tiny.model())}
    assert checks["round-trip"] == Check("round-trip", True, "Not judged: out of memory.")


def test_a_generation_that_does_not_stop_is_noticed(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints.soundness import running

    monkeypatch.setattr(running, "_stop_ids", lambda _: [5])
    assert "does not stop on eos (5)" in failed(tiny.model())["round-trip"]


def test_remote_code_is_needed_for_what_needs_it(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    code = {"AutoConfig": "here.MyConfig", "AutoModelForCausalLM": "here.MyModel"}
    change(path, "config.json", model_type="mine", architectures=["MyModel"], auto_map=code)
    (path / "here.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MyModel(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    assert "needs Python code" in failed(path)["weight-map"]
    assert failed(path, trust_remote_code=True) == {}


@pytest.mark.parametrize("junk", [b"", b"\x00\xff\xfe junk", b"[]", b"null", b'{"a": 1}'])
@pytest.mark.parametrize(
    "file",
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", SINGLE],
)
def test_junk_in_any_file_fails_a_point_and_raises_nothing(
    tiny: Tiny, file: str, junk: bytes
) -> None:
    path = tiny.copy(tiny.model())
    (path / file).write_bytes(junk)
    checks = validate_folder(path)
    assert len(checks) == 9
    assert not all(check.ok for check in checks)
    assert all("\n" not in check.detail for check in checks)


def test_a_folder_of_nothing_fails(tmp_path: Path) -> None:
    assert "weights-complete" in failed(tmp_path)


def test_only_a_missing_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="does not exist"):
        validate_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="is a file"):
        validate_folder(tmp_path / "file")
