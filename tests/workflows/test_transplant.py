from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

import tokxfer as tx
from tests.families import unigram_bytes
from tests.tiny import Tiny
from tests.workflows.transplants import (
    INPUT,
    OUTPUT,
    body_of,
    json_of,
    matrix_of,
    renumbered,
    same_bits,
    shuffled,
    tensors_of,
)
from tokxfer.errors import TokxferError, UnsupportedError, VocabularyError

METHODS = ("omp", "subword", "mean", "gaussian", "zero")

# ---- onto its own tokenizer, and onto the same with other ids

IDENTITIES = [
    ("llama", {"tokenizer": "bytebpe"}),
    ("llama", {"tokenizer": "spbpe", "tied": False, "rows": 448, "dtype": "bfloat16"}),
    ("llama", {"tokenizer": "unigram", "tokens": 200, "eos": [2, 1]}),
    ("mistral", {"tokenizer": "wordpiece", "tokens": 200, "tied": False}),
    ("gpt2", {"tokenizer": "bytebpe", "rows": 448}),
    ("phi", {"tokenizer": "chat", "tied": False, "rows": 448, "eos": [419, 417]}),
    ("gpt_neox", {"tied": False, "shard": "20KB"}),
    ("qwen2", {"dtype": "float16"}),
    ("gemma3", {"tokenizer": "spbpe"}),
]


@pytest.mark.parametrize(("kind", "options"), IDENTITIES, ids=str)
def test_a_model_given_its_own_tokenizer_does_not_change_a_bit(
    tiny: Tiny, kind: str, options: dict[str, Any]
) -> None:
    base, out = tiny.model(kind, **options), tiny.fresh()
    tx.transplant(base, base, out)
    before, after = tensors_of(base), tensors_of(out)
    assert before.keys() == after.keys()
    assert [name for name in before if not same_bits(before[name], after[name])] == []
    ends = [json_of(path, "generation_config.json").get("eos_token_id") for path in (base, out)]
    assert ends[0] == ends[1]
    files = [Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base, out)]
    assert files[0].get_vocab() == files[1].get_vocab()


@pytest.mark.parametrize("method", METHODS)
def test_no_method_touches_a_shared_row(tiny: Tiny, method: str) -> None:
    base, out = tiny.model("llama", tied=False, rows=448), tiny.fresh()
    report = tx.transplant(base, base, out, method=method)
    assert report.rows == {key: {"copied": 447, "role": 1} for key in ("input", "output")}
    before, after = tensors_of(base), tensors_of(out)
    assert all(same_bits(before[name], after[name]) for name in before)


def test_rows_of_gaps_between_ids_stay_where_they_are(tiny: Tiny) -> None:
    """A hole in the ids is a row that no token reads; nothing may move because of it."""
    holes = [old + (3 if old >= 300 else 0) for old in range(420)]
    tokenizer = renumbered(tiny.tokenizer(), tiny.fresh(), holes)
    base, out = tiny.model("llama", tokenizer=tokenizer, rows=423, tied=False), tiny.fresh()
    tx.transplant(base, base, out)
    before, after = tensors_of(base), tensors_of(out)
    assert all(same_bits(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {"tokenizer": "bytebpe"}),
        ("phi", {"tokenizer": "spbpe", "tied": False}),
        ("gpt2", {"tokenizer": "unigram", "tokens": 200}),
        ("gpt_neox", {"tokenizer": "wordpiece", "tokens": 200, "tied": False}),
        ("llama", {"tokenizer": "unigram_bytes", "tied": False}),
    ],
    ids=str,
)
def test_a_permuted_tokenizer_permutes_the_rows(
    tiny: Tiny, kind: str, options: dict[str, Any]
) -> None:
    if options["tokenizer"] == "unigram_bytes":
        folder = tiny.fresh()
        folder.mkdir()
        unigram_bytes().save(str(folder / "tokenizer.json"))
        roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(roles))
        options = options | {"tokenizer": folder}
    base, out = tiny.model(kind, **options), tiny.fresh()
    size = len(matrix_of(base))
    new_ids = shuffled(size)
    donor = renumbered(base, tiny.fresh(), new_ids)
    (donor / "config.json").unlink()
    report = tx.transplant(base, donor, out, method="zero")
    assert report.rows_after == size
    before, after = tensors_of(base), tensors_of(out)
    order = torch.tensor(new_ids)
    for name, old in before.items():
        sized = name.endswith((*INPUT, *OUTPUT, "lm_head.bias"))
        assert same_bits(old, after[name][order] if sized else after[name]), name
    old_config, config = json_of(base, "config.json"), json_of(out, "config.json")
    for role in ("bos_token_id", "eos_token_id"):
        if old_config.get(role) is not None:
            assert config[role] == new_ids[old_config[role]]


# ---- onto another tokenizer


def shared_ids(base: Path, donor: Path) -> dict[int, int]:
    """Base id by donor id of shared ordinary tokens: base byte-level, donor SentencePiece."""
    old, new = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base, donor))
    encoder = ByteLevel(add_prefix_space=False, use_regex=False)
    found = {}
    for name, donor_id in new.get_vocab().items():
        byte = name.startswith("<0x") and int(name[3:5], 16) < 128
        text = chr(int(name[3:5], 16)) if byte else name.replace("▁", " ")
        spelled = "".join(piece for piece, _ in encoder.pre_tokenize_str(text))
        base_id = old.token_to_id(spelled)
        if base_id is not None and name not in ("<s>", "</s>", "<unk>"):
            found[donor_id] = base_id
    assert len(found) > 100
    return found


def pair(tiny: Tiny, *, tied: bool, **donor: Any) -> tuple[Path, Path]:
    """A byte-level base in bfloat16, padded, and a SentencePiece donor of another kind."""
    base = tiny.model("llama", tied=tied, rows=424, dtype="bfloat16", seed=1)
    settings = {"kind": "gpt2", "tokenizer": "spbpe", "hidden": 24, "tokens": 440} | donor
    return base, tiny.model(**settings)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("method", METHODS)
def test_shared_rows_and_the_body_are_the_bases_and_no_row_is_left_undefined(
    tiny: Tiny, method: str, tied: bool
) -> None:
    base, donor = pair(tiny, tied=tied, dtype="float32" if tied else "float16")
    out = tiny.fresh()
    report = tx.transplant(base, donor, out, method=method)
    assert body_of(base).keys() == body_of(out).keys()
    assert all(same_bits(old, body_of(out)[name]) for name, old in body_of(base).items())
    for ends in (INPUT,) if tied else (INPUT, OUTPUT):
        old, new = matrix_of(base, ends), matrix_of(out, ends)
        shared = shared_ids(base, donor)
        assert same_bits(new[list(shared)], old[list(shared.values())])
        assert new.shape == (440, 16)
        assert new.isfinite().all()
        empty = int((new == 0).all(dim=1).sum())
        assert empty == (report.rows["tied" if tied else "input"].get("outside", 0)
                         if method == "zero" else 0)  # fmt: skip
    assert (report.tied, report.rows_before, report.rows_after) == (tied, 424, 440)
    assert report.donor_size == 440
    assert report.base_size == 420


@pytest.mark.parametrize("kind", ["phi", "gpt2"])
def test_logits_of_shared_tokens_are_those_of_the_base(tiny: Tiny, kind: str) -> None:
    """Through the plain Auto classes, on a sequence of tokens that both vocabularies have."""
    from transformers import AutoModelForCausalLM

    base, donor = tiny.model(kind, tied=kind == "gpt2"), tiny.model("llama", tokenizer="spbpe")
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    shared = shared_ids(base, donor)
    new_ids = list(shared)[:100]
    old_ids = [shared[token] for token in new_ids]
    old, new = (AutoModelForCausalLM.from_pretrained(path).eval() for path in (base, out))
    with torch.no_grad():
        expected = old(torch.tensor([old_ids[::3]])).logits[0][:, old_ids]
        found = new(torch.tensor([new_ids[::3]])).logits[0][:, new_ids]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_heads_bias_follows_its_rows(tiny: Tiny) -> None:
    base, donor = tiny.model("phi", tied=False), tiny.model("llama", tokenizer="spbpe")
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="mean")
    old, new = tensors_of(base)["lm_head.bias"], tensors_of(out)["lm_head.bias"]
    shared = shared_ids(base, donor)
    assert same_bits(new[list(shared)], old[list(shared.values())])
    others = torch.tensor([i for i in range(3, len(new)) if i not in shared])
    byte_tokens = others[:128]  # <0x80> and above are shared as well
    assert torch.allclose(new[others[128:]], old.mean(), atol=1e-5)
    assert not torch.allclose(new[byte_tokens], old.mean(), atol=1e-5)


def test_a_new_row_of_the_subword_method_is_the_mean_of_its_pieces(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe", tokens=480)
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    old, new = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base, out))
    shared = shared_ids(base, donor)
    plain = [
        (name, token)
        for name, token in new.get_vocab().items()
        if token not in shared and "<" not in name and name.isascii() and name.isalpha()
    ]
    assert plain
    for name, token in plain:
        pieces = old.encode(name, add_special_tokens=False).ids
        expected = matrix_of(base)[pieces].mean(dim=0)
        torch.testing.assert_close(matrix_of(out)[token], expected, rtol=1e-5, atol=1e-6)


def test_weights_are_split_and_joined_as_asked(tiny: Tiny) -> None:
    base = tiny.model("llama", shard="20KB")
    donor = tiny.model("llama", tokenizer="spbpe", seed=3)
    whole, split = tiny.fresh(), tiny.fresh()
    assert len(list(base.glob("*.safetensors"))) > 1
    tx.transplant(base, donor, whole, method="subword")
    tx.transplant(base, donor, split, method="subword", max_shard_size="10KB")
    assert [path.name for path in whole.glob("*.safetensors")] == ["model.safetensors"]
    files = list(split.glob("*.safetensors"))
    assert len(files) > 1
    for file in files:
        alone = len(tensors_of_file(file)) == 1
        assert alone or sum(t.nbytes for t in tensors_of_file(file).values()) <= 10_000
    index = json_of(split, "model.safetensors.index.json")
    assert index["weight_map"].keys() == tensors_of(split).keys()
    one, many = tensors_of(whole), tensors_of(split)
    assert all(same_bits(one[name], many[name]) for name in one)


def tensors_of_file(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(file))


def test_a_number_format_asked_for_is_that_of_every_weight(tiny: Tiny) -> None:
    base, donor = tiny.model("llama", tied=False), tiny.model("llama", tokenizer="spbpe")
    kept, halved = tiny.fresh(), tiny.fresh()
    tx.transplant(base, donor, kept, method="subword")
    report = tx.transplant(base, donor, halved, method="subword", dtype="bfloat16")
    assert {tensor.dtype for tensor in tensors_of(kept).values()} == {torch.float32}
    assert report.options["dtype"] == "bfloat16"
    assert json_of(halved, "config.json")["dtype"] == "bfloat16"
    for name, tensor in tensors_of(kept).items():
        assert same_bits(tensor.to(torch.bfloat16), tensors_of(halved)[name])


def test_rows_are_rounded_up_and_padding_is_the_mean_row(tiny: Tiny) -> None:
    base, donor = tiny.model("llama", tied=False), tiny.model("llama", tokenizer="spbpe")
    out = tiny.fresh()
    report = tx.transplant(base, donor, out, method="zero", pad_to_multiple_of=64)
    assert report.rows_after == 448
    assert json_of(out, "config.json")["vocab_size"] == 448
    assert report.rows["input"]["padding"] == 28
    for ends in (INPUT, OUTPUT):
        expected = matrix_of(base, ends)[:419].mean(dim=0)  # 419 is special
        assert torch.allclose(matrix_of(out, ends)[420:], expected, atol=1e-6)


def test_a_donor_without_rows_for_its_last_tokens_still_gives_each_a_row(tiny: Tiny) -> None:
    """Its tokenizer is longer than its matrix: those tokens have no donor row to copy from."""
    base = tiny.model("llama", tokenizer="spbpe")
    donor = tiny.copy(tiny.model("llama", tokenizer="bytebpe", tied=False, rows=300, eos=[5]))
    out = tiny.fresh()
    report = tx.transplant(base, donor, out)
    assert report.rows_after == 420
    new = matrix_of(out)
    assert new.isfinite().all()
    assert not (new == 0).all(dim=1).any()
    assert report.rows["tied"]["pieces"] > 0
    assert report.rows["tied"].get("padding", 0) == 0


@pytest.mark.parametrize("form", ["folder", "file"])
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_bare_tokenizer_will_do_where_no_donor_weights_are_needed(
    tiny: Tiny, method: str, form: str
) -> None:
    donor = tiny.tokenizer("spbpe", bare=True)
    given = donor if form == "folder" else donor / "tokenizer.json"
    base, out = tiny.model("llama", dtype="bfloat16"), tiny.fresh()
    report = tx.transplant(base, given, out, method=method)
    assert report.donor == donor.name
    assert report.donor_size == 420
    shared = shared_ids(base, donor)
    assert same_bits(matrix_of(out)[list(shared)], matrix_of(base)[list(shared.values())])
    config = json_of(out, "config.json")
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 2)


def test_a_donor_whose_weights_are_not_needed_may_have_none(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.model("llama", tokenizer="spbpe"))
    (donor / "model.safetensors").unlink()
    base, out = tiny.model("llama"), tiny.fresh()
    assert tx.transplant(base, donor, out, method="subword").rows_after == 420
    with pytest.raises(TokxferError, match="no weights"):
        tx.transplant(base, donor, tiny.fresh(), method="omp")


def test_one_seed_gives_one_result(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe")
    drawn = []
    for seed in (0, 0, 1):
        out = tiny.fresh()
        tx.transplant(base, donor, out, method="gaussian", seed=seed)
        drawn.append(matrix_of(out))
    assert same_bits(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_pursuit_is_the_same_every_time_and_within_any_memory_budget(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe", seed=2)
    found = []
    for budget in (None, None, "1MB"):
        out = tiny.fresh()
        tx.transplant(base, donor, out, memory_budget=budget)
        found.append(matrix_of(out))
    assert same_bits(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], rtol=1e-4, atol=1e-5)


def test_the_options_of_a_method_arrive(tiny: Tiny) -> None:
    base, donor = tiny.model("llama"), tiny.model("llama", tokenizer="spbpe", seed=2)
    by_name, ready = tiny.fresh(), tiny.fresh()
    options = {"k": 3, "selection": "raw", "ridge": 0.5, "tune": False}
    report = tx.transplant(base, donor, by_name, **options)
    assert options.items() <= report.options.items()
    assert report.chosen["tied"]["k"] == 3
    assert report.chosen["tied"]["selection"] == "raw"
    assert report.chosen["tied"]["ridge"] == 0.5
    weights = np.load(by_name / "tokxfer_provenance.npz")
    assert np.diff(weights["tied.indptr"]).max() == 3
    tx.transplant(base, donor, ready, method=tx.OMP(**options))
    assert same_bits(matrix_of(by_name), matrix_of(ready))


# ---- configs, tokenizer, chat template


def test_configs_name_the_new_tokens(tiny: Tiny) -> None:
    """The base stops at an end of text and at an end of turn; the donor has both under others."""
    base = tiny.model("llama", tokenizer="chat", eos=[419, 417])
    donor = tiny.model("gpt2", tokenizer="chat", tokens=400)
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    ids = Tokenizer.from_file(str(out / "tokenizer.json"))
    end_of_turn, end_of_text = (ids.token_to_id(t) for t in ("<|im_end|>", "<|endoftext|>"))
    generation = json_of(out, "generation_config.json")
    assert generation["eos_token_id"] == [end_of_turn, end_of_text]
    assert generation["pad_token_id"] == end_of_text
    config = json_of(out, "config.json")
    assert config["eos_token_id"] == end_of_turn
    assert config["vocab_size"] == 400
    assert config["hidden_size"] == json_of(base, "config.json")["hidden_size"]


def test_every_end_that_the_donor_states_ends_generation(tiny: Tiny) -> None:
    """A chat model stops at an end of turn as well, which only its generation config may say."""
    donor = tiny.copy(tiny.tokenizer("chat"))
    (donor / "generation_config.json").write_text('{"eos_token_id": [419, 417]}')
    out = tiny.fresh()
    tx.transplant(tiny.model("llama"), donor, out, method="subword")
    assert json_of(out, "generation_config.json")["eos_token_id"] == [419, 417]


def test_what_the_new_tokenizer_lacks_is_warned_of(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe"))
    config = json_of(donor, "tokenizer_config.json")
    config["added_tokens_decoder"] = {"420": {"content": "<|tool|>", "special": True}}
    (donor / "tokenizer_config.json").write_text(json.dumps(config))
    report = tx.transplant(
        tiny.model("llama", tokenizer="chat"), donor, tiny.fresh(), method="mean"
    )
    assert any("tokenizer.json" in each and "<|tool|>" in each for each in report.warnings)
    assert any(each.startswith("The chat template of ") for each in report.warnings)
    report = tx.transplant(tiny.model(), tiny.tokenizer("spbpe"), tiny.fresh(), method="mean")
    assert not any("template" in each or "lacks" in each for each in report.warnings)


def test_several_ends_of_text_never_become_a_pad(tiny: Tiny) -> None:
    """The base's one special token begins, ends and pads; the donor has a token for each."""
    base = tiny.model("llama", eos=[419, 418])
    donor = tiny.model("llama", tokenizer="unigram", tokens=200)
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    assert json_of(out, "generation_config.json")["eos_token_id"] == 2


def test_the_chat_template_is_the_donors(tiny: Tiny) -> None:
    from transformers import AutoTokenizer

    base, donor = tiny.model("llama"), tiny.model("gpt2", tokenizer="chat")
    out, back = tiny.fresh(), tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    messages = [{"role": "user", "content": "hello"}]
    found, expected = (
        AutoTokenizer.from_pretrained(path).apply_chat_template(messages, tokenize=False)
        for path in (out, donor)
    )
    assert found == expected
    tx.transplant(donor, base, back, method="subword")
    assert AutoTokenizer.from_pretrained(back).chat_template is None


@pytest.mark.parametrize(
    ("kind", "family"), [("qwen2", "spbpe"), ("gemma3", "bytebpe"), ("llama", "wordpiece")]
)
def test_the_plain_auto_classes_load_any_tokenizer_under_any_kind_of_model(
    tiny: Tiny, kind: str, family: str
) -> None:
    """AutoTokenizer rebuilds some tokenizers under the class of the model's type, but not these."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    base, donor = tiny.model(kind), tiny.model("gpt2", tokenizer=family)
    out = tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    trusted = (out / "tokenization_plain.py").exists()
    tokenizer = AutoTokenizer.from_pretrained(out, trust_remote_code=trusted)
    text = "The quick brown fox, 1234."
    ids = Tokenizer.from_file(str(donor / "tokenizer.json")).encode(text).ids
    assert tokenizer(text)["input_ids"] == ids
    auto = AutoModelForImageTextToText if kind == "gemma3" else AutoModelForCausalLM
    model = auto.from_pretrained(out)
    assert len(model.get_input_embeddings().weight) == len(tokenizer)
    with torch.no_grad():
        assert model(torch.tensor([ids])).logits.isfinite().all()


# ---- what is said when it cannot be done


def test_a_method_that_needs_donor_weights_refuses_a_bare_tokenizer_at_once(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokxfer.workflows.transplant.compute", lambda *_: pytest.fail("worked"))
    with pytest.raises(UnsupportedError, match="needs the donor's weights") as failure:
        tx.transplant(tiny.model(), tiny.tokenizer("spbpe", bare=True), tiny.fresh())
    assert "-m subword" in (failure.value.hint or "")


def test_vocabularies_without_a_common_token_are_refused(tiny: Tiny) -> None:
    from tokenizers import models

    folder = tiny.fresh()
    folder.mkdir()
    Tokenizer(models.WordLevel({"ⵣⵣⵣ": 0, "ⴰⴰⴰ": 1}, unk_token="ⵣⵣⵣ")).save(
        str(folder / "tokenizer.json")
    )
    with pytest.raises(TokxferError) as failure:
        tx.transplant(tiny.model(), folder, tiny.fresh(), method="mean")
    assert isinstance(failure.value, (VocabularyError, UnsupportedError))


def test_digits_cut_otherwise_and_roles_without_counterpart_are_warned_of(tiny: Tiny) -> None:
    base, donor = tiny.model("qwen2"), tiny.model("gpt2", tokenizer="unigram", tokens=200)
    out = tiny.fresh()
    warnings = tx.transplant(base, donor, out, method="subword").warnings
    assert any("Digits are segmented differently" in warning for warning in warnings)
    assert any("<unk> (unk)" in warning for warning in warnings)
