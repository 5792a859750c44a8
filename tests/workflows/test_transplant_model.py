from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PythonBackend,
)

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import INPUT, OUTPUT, json_of, matrix_of, same_bits, tensors_of
from tokxfer.errors import UnsupportedError, VocabularyError


def load(folder: Path) -> tuple[Any, Any]:
    auto = (
        AutoModelForImageTextToText
        if "vision_config" in json_of(folder, "config.json")
        else (AutoModelForCausalLM)
    )
    return auto.from_pretrained(folder, dtype="auto"), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "options", "method"),
    [
        ("llama", {"tied": False, "rows": 448}, "omp"),
        ("phi", {"tied": False}, "subword"),
        ("gpt2", {"dtype": "bfloat16"}, "gaussian"),
        ("gemma3", {}, "mean"),
    ],
    ids=str,
)
def test_a_model_in_memory_becomes_what_a_folder_becomes(
    tiny: Tiny, kind: str, options: dict[str, Any], method: str
) -> None:
    base, donor = tiny.model(kind, **options), tiny.model("llama", tokenizer="spbpe", tokens=440)
    out, saved = tiny.fresh(), tiny.fresh()
    written = tx.transplant(base, donor, out, method=method, pad_to_multiple_of=8)
    model, tokenizer, report = tx.transplant_model(
        *load(base), *load(donor), method=method, pad_to_multiple_of=8
    )
    model.save_pretrained(saved)
    expected, found = tensors_of(out), tensors_of(saved)
    assert found.keys() == expected.keys()
    assert [name for name in found if not same_bits(found[name], expected[name])] == []
    assert len(tokenizer) == 440
    for name in ("rows", "rows_before", "rows_after", "shared", "tied", "roles", "chosen"):
        assert getattr(report, name) == getattr(written, name)
    for name in ("config.json", "generation_config.json"):
        told, right = json_of(saved, name), json_of(out, name)
        for key in ("bos_token_id", "eos_token_id", "pad_token_id", "vocab_size"):
            assert told.get(key) == right.get(key), (name, key)


def test_the_model_is_changed_in_place_and_runs(tiny: Tiny) -> None:
    base, donor = load(tiny.model("llama")), load(tiny.model("llama", tokenizer="spbpe"))
    model, tokenizer, _ = tx.transplant_model(*base, *donor, method="subword")
    assert model is base[0]
    assert tokenizer is donor[1]
    ids = torch.tensor([tokenizer("The quick fox")["input_ids"]])
    with torch.no_grad():
        assert model(ids).logits.shape == (1, ids.shape[1], 420)
        assert model.generate(ids, max_new_tokens=2, do_sample=False).shape[1] > ids.shape[1]


def test_an_end_of_turn_stays_an_end(tiny: Tiny) -> None:
    base = load(tiny.model("llama", tokenizer="chat", eos=[419, 417]))
    donor = load(tiny.model("gpt2", tokenizer="chat", tokens=400))
    model, tokenizer, _ = tx.transplant_model(*base, *donor, method="subword")
    turn, text = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert model.generation_config.eos_token_id == [turn, text]
    assert model.config.eos_token_id == turn
    assert model.config.pad_token_id == text
    assert model.get_input_embeddings().padding_idx == text


def test_methods_without_donor_weights_take_a_tokenizer_alone(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("spbpe")
    model, _, report = tx.transplant_model(
        *load(base), None, AutoTokenizer.from_pretrained(donor), method=tx.Subword()
    )
    assert report.rows_after == len(model.get_input_embeddings().weight) == 420
    assert report.method == "subword-uniform"


def test_pursuit_without_a_donor_is_refused(tiny: Tiny) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.tokenizer("spbpe"))
    with pytest.raises(UnsupportedError, match="needs the donor's weights"):
        tx.transplant_model(*load(tiny.model("llama")), None, tokenizer)


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(tiny: Tiny) -> None:
    model, _ = load(tiny.model("llama", tokenizer="unigram", tokens=200))
    tokenizer = AutoTokenizer.from_pretrained(tiny.tokenizer("bytebpe"))
    with pytest.raises(VocabularyError, match="ids up to 419"):
        tx.transplant_model(model, tokenizer, None, tokenizer, method="mean")


def test_a_slow_tokenizer_is_refused(tiny: Tiny) -> None:
    class Slow(PythonBackend):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def get_vocab(self) -> dict[str, int]:
            return {}

    model, tokenizer = load(tiny.model("llama"))
    with pytest.raises(UnsupportedError, match="Slow is a slow tokenizer"):
        tx.transplant_model(model, Slow(), None, tokenizer, method="mean")


def test_a_model_without_a_head_is_refused(tiny: Tiny) -> None:
    from transformers import AutoModel

    model, tokenizer = load(tiny.model("llama"))
    headless = AutoModel.from_config(model.config)
    with pytest.raises(UnsupportedError, match="has no output embeddings"):
        tx.transplant_model(headless, tokenizer, None, tokenizer, method="mean")


def test_its_own_tokenizer_changes_nothing_in_memory(tiny: Tiny) -> None:
    base = tiny.model("llama", tied=False, rows=448)
    model, tokenizer = load(base)
    tx.transplant_model(model, tokenizer, model, tokenizer)
    assert same_bits(model.get_input_embeddings().weight, matrix_of(base, INPUT))
    assert same_bits(model.get_output_embeddings().weight, matrix_of(base, OUTPUT))


def test_the_seed_and_the_methods_options_are_heeded_and_told(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe", seed=4)
    drawn = []
    for seed in (1, 1, 2):
        model, _, report = tx.transplant_model(*load(base), *load(donor), method="gaussian",
                                               seed=seed)  # fmt: skip
        assert report.options["seed"] == seed
        drawn.append(model.get_input_embeddings().weight.detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    *_, report = tx.transplant_model(*load(base), *load(donor), k=2, tune=False)
    assert report.chosen["tied"]["k"] == report.options["k"] == 2


def test_twins_and_undertrained_rows_are_as_asked(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe", seed=4)
    reports = [
        tx.transplant_model(*load(base), *load(donor), method="knn", **options)[2]
        for options in ({}, {"twins": "mean"}, {"trust_undertrained": True})
    ]
    copied, left, bold = (report.rows["tied"]["copied"] for report in reports)
    assert left < copied == bold
    assert reports[0].undertrained["tied"].keys() == {"base", "donor"}
    assert reports[2].chosen["tied"]["distrusted"] == 0


def test_progress_is_shown_only_when_asked_for(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tokenizer = tiny.model("llama"), AutoTokenizer.from_pretrained(tiny.tokenizer("spbpe"))
    for progress in (False, True):
        model = load(base)
        capsys.readouterr()
        tx.transplant_model(*model, None, tokenizer, method="mean", progress=progress)
        out, err = capsys.readouterr()
        assert ("rows by mean" in err) is progress
        assert out == ""
