"""Transplants that keep the base's way of cutting numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import tokxfer as tx
from tests.families import FAMILIES
from tests.tiny import Tiny
from tests.workflows.transplants import INPUT, OUTPUT, body_of, json_of, matrix_of, same_bits
from tokxfer.errors import TokxferError, UnsupportedError, VerificationError
from tokxfer.vocabulary import KeptDigits, read_vocabulary
from tokxfer.workflows import postconditions

ROLES = {"byte_level": {"eos_token": "<|endoftext|>"}, "gemma": {"bos_token": "<bos>"}}


@pytest.fixture(scope="module")
def family(tiny: Tiny) -> Any:
    """A model whose tokenizer is of one of the families with known ways of cutting numbers."""

    def build(name: str, **options: Any) -> Path:
        folder = tiny.root / "families" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            FAMILIES[name]().save(str(folder / "tokenizer.json"))
            roles = ROLES.get(name, {})
            (folder / "tokenizer_config.json").write_text(json.dumps(roles), encoding="utf-8")
        return tiny.model("llama", tokenizer=folder, **options)

    return build


@pytest.mark.parametrize(
    ("base_name", "donor_name", "method"),
    [
        ("gemma", "byte_level", "omp"),
        ("byte_level", "gemma", "omp"),
        ("byte_level_groups", "sentencepiece_bpe", "subword"),
        ("gemma", "unigram", "mean"),
        ("gemma", "word_piece", "gaussian"),
    ],
)
def test_digits_keep_their_rows_bit_for_bit_and_the_folder_is_sound(
    tiny: Tiny, family: Any, base_name: str, donor_name: str, method: str
) -> None:
    base, donor, out = family(base_name, tied=False), family(donor_name, seed=3), tiny.fresh()
    report = tx.transplant(base, donor, out, method=method, keep_digits=True)
    old, new = read_vocabulary(base), read_vocabulary(out)
    assert new.digit_cuts == old.digit_cuts != read_vocabulary(donor).digit_cuts
    before, after = ((matrix_of(f), matrix_of(f, OUTPUT)) for f in (base, out))
    used = {i for n in range(0, 20_000, 7) for i in new.encode(f"a{n}") if new.tokens[i].isdigit()}
    assert len(used) >= 10
    for token in used:
        (source,) = old.ids_of(new.tokens[token])[:1]
        assert all(same_bits(b[source], a[token]) for a, b in zip(after, before, strict=True))
    assert body_of(out).keys() == body_of(base).keys()
    assert tx.validate(out).ok
    assert [c.name for c in report.checks].count("digits") == 1


def test_text_without_digits_is_cut_as_by_the_donor(tiny: Tiny, family: Any) -> None:
    base, donor, out = family("gemma"), family("byte_level", seed=3), tiny.fresh()
    tx.transplant(base, donor, out, method="mean", keep_digits=True)
    mine, theirs = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(donor)
    text = "The quick brown fox,\n\n  naïve – 吾輩は猫である ½ and so on."
    assert mine(text)["input_ids"] == theirs(text)["input_ids"]
    assert mine.decode(mine("x 2024 y")["input_ids"]) == "x 2024 y"


def test_a_result_says_how_digits_were_kept(tiny: Tiny, family: Any) -> None:
    base, donor, out = family("byte_level"), family("gemma", seed=3), tiny.fresh()
    plan = tx.plan_transplant(base, donor, out, method="mean", keep_digits=True)
    told = plan.to_dict()["digits_kept"]
    assert told == {
        "policy": "learned",
        "donor_policy": "single",
        "changed": True,
        "added_tokens": plan.donor_vocabulary.size - read_vocabulary(donor).size,
        "unused_tokens": 0,
    }
    assert told["added_tokens"] > 50
    report = tx.transplant(base, donor, out, method="mean", keep_digits=True)
    manifest = json_of(out, "tokxfer.json")
    assert manifest["options"]["keep_digits"] is True
    assert manifest["result"]["digits_kept"] == report.digits_kept == told
    card = ModelCard.load(out / "README.md").text
    assert "**Numbers.** The donor's tokenizer was rewritten" in card
    assert "expect arithmetic to suffer" not in card
    assert not any("Digits" in warning for warning in report.warnings)
    (check,) = [check for check in report.checks if check.name == "tokenizer"]
    assert "rewritten for digits" in check.detail


def test_where_digits_are_cut_alike_nothing_changes_but_the_report(tiny: Tiny, family: Any) -> None:
    base, donor = family("gemma"), family("sentencepiece_bpe", seed=3)
    plain, out = tiny.fresh(), tiny.fresh()
    tx.transplant(base, donor, plain, method="subword")
    report = tx.transplant(base, donor, out, method="subword", keep_digits=True)
    for name in ("tokenizer.json", "model.safetensors"):
        assert (plain / name).read_bytes() == (out / name).read_bytes()
    assert any("nothing had to be changed" in warning for warning in report.warnings)
    assert report.digits_kept is not None
    assert not report.digits_kept["changed"]


def test_without_the_option_nothing_is_said(tiny: Tiny, family: Any) -> None:
    out = tiny.fresh()
    report = tx.transplant(family("gemma"), family("byte_level", seed=3), out, method="mean")
    assert report.digits_kept is None
    assert json_of(out, "tokxfer.json")["result"]["digits_kept"] is None
    assert "expect arithmetic to suffer" in (out / "README.md").read_text("utf-8")


@pytest.mark.parametrize("method", ["omp", "linear"])
def test_padding_of_the_donor_is_no_row_of_an_added_token(
    tiny: Tiny, family: Any, method: str
) -> None:
    """Ids of added tokens fall onto the donor's padding rows, which say nothing about them."""
    base, donor = family("byte_level", tied=False), family("gemma", seed=3)
    padded = tiny.copy(donor)
    weights = load_file(padded / "model.safetensors")
    (name,) = [name for name in weights if name.endswith(INPUT)]
    noise = torch.randn(400, weights[name].shape[1], generator=torch.Generator().manual_seed(1))
    weights[name] = torch.cat([weights[name], 100 * noise])
    save_file(weights, padded / "model.safetensors", metadata={"format": "pt"})
    config = json_of(padded, "config.json")
    config["vocab_size"] = len(weights[name])
    (padded / "config.json").write_text(json.dumps(config), encoding="utf-8")
    outs = tiny.fresh(), tiny.fresh()
    for source, out in zip((donor, padded), outs, strict=True):
        tx.transplant(base, source, out, method=method, keep_digits=True)
    for ends in (INPUT, OUTPUT):
        assert same_bits(*(matrix_of(out, ends) for out in outs))


@pytest.mark.parametrize(
    ("base_name", "donor_name"), [("gemma", "byte_level"), ("byte_level", "gemma")]
)
def test_a_model_in_memory_becomes_what_a_folder_becomes(
    tiny: Tiny, family: Any, base_name: str, donor_name: str
) -> None:
    base, donor = family(base_name, tied=False), family(donor_name, seed=3)
    out, saved = tiny.fresh(), tiny.fresh()
    written = tx.transplant(base, donor, out, method="omp", k=4, keep_digits=True)
    loaded = [
        auto.from_pretrained(folder)
        for folder in (base, donor)
        for auto in (AutoModelForCausalLM, AutoTokenizer)
    ]
    given = loaded[3]
    model, tokenizer, report = tx.transplant_model(*loaded, method="omp", k=4, keep_digits=True)
    model.save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    for ends in (INPUT, OUTPUT):
        assert same_bits(matrix_of(out, ends), matrix_of(saved, ends))
    assert report.digits_kept == written.digits_kept
    again, right = AutoTokenizer.from_pretrained(saved), AutoTokenizer.from_pretrained(out)
    for text in ("In 1867 and 12345678: 3.14!", "no digits"):
        ids = tokenizer(text)["input_ids"]
        assert ids == again(text)["input_ids"] == right(text)["input_ids"]
    assert tokenizer.special_tokens_map == given.special_tokens_map
    assert given("1867")["input_ids"] != tokenizer("1867")["input_ids"]


def test_in_memory_the_donors_tokenizer_itself_is_given_back_where_nothing_changes(
    family: Any,
) -> None:
    base, donor = family("gemma"), family("sentencepiece_bpe", seed=3)
    model, tokenizer = (a.from_pretrained(base) for a in (AutoModelForCausalLM, AutoTokenizer))
    theirs = AutoTokenizer.from_pretrained(donor)
    _, new, report = tx.transplant_model(
        model, tokenizer, None, theirs, method="mean", keep_digits=True
    )
    assert new is theirs
    assert any("nothing had to be changed" in warning for warning in report.warnings)


def test_a_bare_tokenizer_will_do(tiny: Tiny, family: Any, tmp_path: Path) -> None:
    bare = tmp_path / "mine.json"
    FAMILIES["byte_level"]().save(str(bare))
    out = tiny.fresh()
    report = tx.transplant(family("gemma"), bare, out, method="subword", keep_digits=True)
    assert report.digits_kept is not None
    assert read_vocabulary(out).digits == "single"


# ---- refusals


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tiny: Tiny, family: Any) -> None:
    out = tiny.fresh()
    with pytest.raises(UnsupportedError, match="cannot do exactly the same"):
        tx.transplant(family("byte_level"), family("unigram"), out, keep_digits=True)
    assert not out.exists()


def test_a_slow_tokenizer_is_refused_with_the_way_out(tiny: Tiny, family: Any) -> None:
    slow = tiny.copy(family("gemma"))
    shutil.move(slow / "tokenizer.json", slow / "tokenizer.model")
    with pytest.raises(TokxferError, match="only a slow tokenizer") as refusal:
        tx.transplant(family("byte_level"), slow, tiny.fresh(), keep_digits=True)
    assert "Convert it once" in str(refusal.value.hint)


def test_a_result_that_cuts_numbers_otherwise_fails_its_check(
    tiny: Tiny, family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, donor, out = family("gemma"), family("byte_level", seed=3), tiny.fresh()
    monkeypatch.setattr(KeptDigits, "changed", False)
    monkeypatch.setattr(postconditions, "check_tokenizer", lambda plan, folder: passed())
    plan = tx.plan_transplant(base, donor, out, method="mean", keep_digits=True)
    assert plan.digits is not None
    object.__setattr__(plan.digits, "content", None)  # the donor's own file is written
    with pytest.raises(VerificationError, match="failed its check 'digits'"):
        tx.workflows.transplant.carry_out(plan)
    assert not out.exists()


def passed() -> postconditions.PostCondition:
    return postconditions.PostCondition("tokenizer", True, "")
