"""`transplant BASE bytes OUT`: plain models over bytes, sound and lossless."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import Tiny
from tests.workflows.transplants import INPUT, OUTPUT, body_of, json_of, matrix_of, same_bits
from tokxfer.bytelevel import ByteLM
from tokxfer.checkpoints import read_stop_ids
from tokxfer.embeddings import ByteStart, Mean
from tokxfer.errors import UnsupportedError, UsageError
from tokxfer.vocabulary import read_vocabulary
from tokxfer.workflows.planning import plan_transplant
from tokxfer.workflows.transplant import transplant
from tokxfer.workflows.validate import validate

FAMILIES = ["bytebpe", "chat", "spbpe", "unigram"]
TEXTS = ["The dog", "", " a", "Größe\n\n\tcafe\u0301 ½ 😀\x00", "▁Ġ<0x0A> \ufffd", "x" * 300]


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest, tiny: Tiny) -> tuple[Path, Path, Any]:
    """A base, its byte student, and the report."""
    base, out = tiny.model("llama", tokenizer=request.param), tiny.fresh()
    return base, out, transplant(base, "bytes", out)


def test_any_text_is_its_bytes_and_comes_back(made: tuple[Path, Path, Any]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made[1])
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert bytes(ids) == text.encode()
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_texts_keep_the_frame_and_the_roles_of_the_base(made: tuple[Path, Path, Any]) -> None:
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in made[:2])
    assert new.special_tokens_map == old.special_tokens_map
    framed = [
        tokenizer.convert_ids_to_tokens(tokenizer("a")["input_ids"]) for tokenizer in (old, new)
    ]
    special = [[name for name in row if name in old.all_special_tokens] for row in framed]
    assert special[0] == special[1]
    roles = [read_vocabulary(folder).roles for folder in made[:2]]
    assert {role for role in roles[1] if ":" not in role} == {r for r in roles[0] if ":" not in r}


def test_the_result_is_sound_and_brings_no_code(made: tuple[Path, Path, Any]) -> None:
    _, out, report = made
    assert all(check.ok for check in validate(out).checks)
    assert not list(out.glob("*.py"))
    assert all(check.ok for check in report.checks)
    size = len(read_vocabulary(out).names)
    assert report.rows_after == report.donor_size == size
    assert json_of(out, "config.json")["vocab_size"] == size
    assert 256 < size < 265


def test_the_body_and_the_rows_of_markers_are_the_bases(made: tuple[Path, Path, Any]) -> None:
    base, out, report = made
    old, new = body_of(base), body_of(out)
    assert old.keys() == new.keys()
    assert all(same_bits(old[name], new[name]) for name in old)
    names = [read_vocabulary(folder).names for folder in (base, out)]
    before = matrix_of(base, INPUT)
    for ends in (INPUT, OUTPUT):
        rows = matrix_of(out, ends)
        assert rows.isfinite().all()
        for token in range(256, len(names[1])):
            assert torch.equal(rows[token], before[names[0].index(names[1][token])])
    assert report.rows["input"]["role"] == len(names[1]) - 256


def test_bytes_get_matrices_of_their_own_unless_told_to_keep_the_tie(tiny: Tiny) -> None:
    base = tiny.model("llama", tokenizer="bytebpe")
    for untie, tied in ((None, False), (True, False), (False, True)):
        report = transplant(base, "bytes", out := tiny.fresh(), untie=untie)
        assert report.tied is tied
        assert report.options["untie"] is not tied
        model = AutoModelForCausalLM.from_pretrained(out)
        assert model.config.tie_word_embeddings is tied
        same = torch.equal(model.get_input_embeddings().weight, model.lm_head.weight)
        assert same is tied
    assert transplant(base, tiny.tokenizer("spbpe", bare=True), tiny.fresh(), method="mean").tied


def test_another_donor_can_be_untied_too(tiny: Tiny) -> None:
    base, out = tiny.model("gpt2", tokenizer="bytebpe"), tiny.fresh()
    donor = tiny.tokenizer("spbpe", bare=True)
    report = transplant(base, donor, out, method="subword", untie=True)
    assert report.tied is False
    assert set(report.rows) == {"input", "output"}
    assert all(check.ok for check in validate(out).checks)


@pytest.mark.parametrize("kind", ["gemma3", "gpt_neox", "qwen2", "phi"])
def test_other_architectures_become_students_of_bytes(tiny: Tiny, kind: str) -> None:
    out = tiny.fresh()
    transplant(tiny.model(kind), "bytes", out)
    assert all(check.ok for check in validate(out).checks)


def test_the_law_of_bytes_is_the_models_own(made: tuple[Path, Path, Any]) -> None:
    lm = ByteLM.from_pretrained(made[1])
    context = [lm.begin] if lm.begin is not None else []
    assert context
    ids = torch.tensor([[*context, *b"The d"]])
    with torch.no_grad():
        logits = lm.model(ids).logits[0, -1, : lm.vocabulary.size]
    counted = torch.cat([logits[:256], logits[lm.stops].logsumexp(0)[None]]).log_softmax(0)
    law = lm.next_byte(b"The d")
    torch.testing.assert_close(law.nats.float(), counted[:256], rtol=0, atol=1e-4)
    assert law.stop == pytest.approx(float(counted[256]), abs=1e-4)


def test_a_chat_template_keeps_its_markers(tiny: Tiny) -> None:
    base, out = tiny.model("llama", tokenizer="chat"), tiny.fresh()
    report = transplant(base, "bytes", out)
    told = [{"role": "user", "content": "Hi"}]
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in (base, out))
    text = old.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    assert new.apply_chat_template(told, tokenize=False, add_generation_prompt=True) == text
    ids = new.apply_chat_template(told, add_generation_prompt=True, return_dict=False)
    assert ids[0] == new.convert_tokens_to_ids("<|im_start|>") >= 256
    assert bytes(ids[1:5]) == b"user"
    assert not any("template" in warning for warning in report.warnings)


def test_all_ends_of_text_stay_ends(tiny: Tiny) -> None:
    names = ["<|endoftext|>", "<|im_end|>"]
    ids = [read_vocabulary(tiny.tokenizer("chat")).names.index(name) for name in names]
    base, out = tiny.model("llama", tokenizer="chat", eos=ids), tiny.fresh()
    transplant(base, "bytes", out)
    found = read_vocabulary(out).names
    assert sorted(found[token] for token in read_stop_ids(out)) == names


def test_card_and_manifest_say_how_it_was_made(made: tuple[Path, Path, Any]) -> None:
    base, out, report = made
    card = ModelCard.load(out / "README.md")
    assert card.data.base_model == [base.name]
    assert card.data.base_model_relation == "finetune"
    assert "over bytes" in card.text
    assert "are two now" in card.text
    manifest = json_of(out, "tokxfer.json")
    assert manifest["inputs"]["donor"]["name"] == "bytes"
    assert manifest["options"]["method"] == "byte-start" == report.method
    assert manifest["options"]["untie"] is True
    assert {"suffix", "prefix", "calm"} <= manifest["options"].keys()
    assert any("128 bytes at once" in warning for warning in report.warnings)


def test_other_methods_copy_the_rows_of_bytes(tiny: Tiny) -> None:
    base, out = tiny.model("llama", tokenizer="bytebpe"), tiny.fresh()
    report = transplant(base, "bytes", out, method=Mean())
    assert report.rows["input"] == {"copied": 256, "role": 1}
    tokens = read_vocabulary(base).tokens
    assert torch.equal(matrix_of(out)[65], matrix_of(base)[tokens.index(b"A")])


def test_a_folder_named_bytes_is_given_as_a_path(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny.tokenizer("spbpe", bare=True), tmp_path / "bytes")
    base = tiny.model("llama", tokenizer="bytebpe")
    word = transplant(base, "bytes", tmp_path / "a")
    assert word.donor_size == 257
    assert any("give ./bytes for it" in warning for warning in word.warnings)
    path = transplant(base, "./bytes", tmp_path / "b", method="subword")
    assert path.donor_size > 400
    assert not any("./bytes" in warning for warning in path.warnings)


def test_what_makes_no_sense_is_refused_before_anything_is_written(tiny: Tiny) -> None:
    out = tiny.fresh()
    with pytest.raises(UnsupportedError, match="is an encoder"):
        transplant(tiny.model("bert"), "bytes", out)
    with pytest.raises(UsageError, match="not for bytes"):
        transplant(tiny.model("llama"), "bytes", out, keep_digits=True)
    with pytest.raises(UnsupportedError, match="needs the donor's weights"):
        transplant(tiny.model("llama"), "bytes", out, method="knn")
    with pytest.raises(UsageError, match=r"prefix is 2\.0"):
        ByteStart(prefix=2.0)
    assert not out.exists()


def test_nothing_is_left_of_the_tokenizer_that_was_made_on_the_way(tiny: Tiny) -> None:
    plan = plan_transplant(tiny.model("llama"), "bytes", tiny.fresh())
    place = plan.donor_path
    assert json.loads((place / "tokenizer.json").read_text())["model"]["vocab"]["A"] == 65
    assert plan.to_dict()["tied"] is False
    assert plan.to_dict()["donor"] == "bytes"
    del plan
    assert not place.exists()
