"""Encoders of sentences: models without a head, read through sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import json_of, same_bits, tensors_of
from tokxfer.errors import UnsupportedError

WORDS = "embeddings.word_embeddings.weight"


def test_an_encoder_given_its_own_tokenizer_does_not_change_a_bit(tiny: Tiny) -> None:
    base, out = tiny.model("bert"), tiny.fresh()
    report = tx.transplant(base, base, out, method="mean")
    before, after = tensors_of(base), tensors_of(out)
    assert before.keys() == after.keys()
    assert all(same_bits(before[name], after[name]) for name in before)
    assert report.rows.keys() == {"input"}
    assert not report.tied
    checks = {check.name: check.detail for check in report.checks}
    assert "no head that could write" in checks["folder: round-trip"]
    assert checks["folder: tying"] == f"No head: {WORDS} is the only matrix."


def test_an_encoders_rows_are_means_of_its_pieces(tiny: Tiny) -> None:
    base, donor, out = tiny.model("bert"), tiny.tokenizer("unigram"), tiny.fresh()
    tx.transplant(base, donor, out, method="subword")
    old, new = (tx.ByteVocabulary.from_file(path) for path in (base, donor))
    before, after = tensors_of(base)[WORDS], tensors_of(out)[WORDS]
    checked = 0
    for token in new.text_ids.tolist():
        pieces = old.pieces(new.tokens[token])
        if len(pieces) > 1:
            torch.testing.assert_close(after[token], before[pieces].mean(dim=0))
            checked += 1
    assert checked > 5
    assert AutoModel.from_pretrained(out).get_input_embeddings().weight.shape == after.shape


@pytest.mark.parametrize("stated", [True, False])
def test_what_an_encoder_says_of_tying_is_kept(tiny: Tiny, tmp_path: Path, stated: bool) -> None:
    """It has no head to tie; but another class made of its body may have."""
    base = tiny.copy(tiny.model("bert"))
    config = json_of(base, "config.json") | {"tie_word_embeddings": stated}
    (base / "config.json").write_text(json.dumps(config))
    tx.transplant(base, tiny.tokenizer("unigram"), tmp_path / "out", method="subword")
    assert json_of(tmp_path / "out", "config.json")["tie_word_embeddings"] is stated


def test_an_encoder_may_be_the_donor_of_rows(tiny: Tiny, tmp_path: Path) -> None:
    base, donor = tiny.model("llama", tied=False), tiny.model("bert")
    report = tx.transplant(base, donor, tmp_path / "out", method="omp")
    assert all(counts["omp"] > 10 for counts in report.rows.values())


def test_a_sentence_encoder_keeps_its_pooling_and_its_length(tiny: Tiny, tmp_path: Path) -> None:
    sentences = pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    base = sentence_encoder(tiny)
    tx.transplant(base, base, tmp_path / "out", method="subword")
    before, after = (sentences.SentenceTransformer(str(p)) for p in (base, tmp_path / "out"))
    assert after[1].get_config_dict() == before[1].get_config_dict()
    assert after[1].get_config_dict()["pooling_mode"] == "max"
    assert after.max_seq_length == before.max_seq_length == 17
    assert after.prompts["query"] == "q: "
    texts = ["The quick brown fox", "a house near the forest " * 20]
    assert (after.encode(texts) == before.encode(texts)).all()


@pytest.mark.parametrize(
    ("sentences", "library", "task"),
    [
        (True, "sentence-transformers", "sentence-similarity"),
        (False, "transformers", "feature-extraction"),
    ],
)
def test_the_card_of_an_encoder_says_what_loads_it(
    tiny: Tiny, tmp_path: Path, sentences: bool, library: str, task: str
) -> None:
    base = sentence_encoder(tiny) if sentences else tiny.model("bert")
    tx.transplant(base, tiny.tokenizer("unigram"), tmp_path / "out", method="subword")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"library_name: {library}\n" in card
    assert f"pipeline_tag: {task}\n" in card


def test_weights_of_modules_are_carried_but_pickles_are_not(tiny: Tiny, tmp_path: Path) -> None:
    base = sentence_encoder(tiny)
    dense = base / "2_Dense"
    dense.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        (dense / name).write_text(name)
    modules = json_of(base, "modules.json")
    outside = [{"idx": 2, "path": "2_Dense"}, {"idx": 3, "path": "../elsewhere"}, {"path": "lost"}]
    (base / "modules.json").write_text(json.dumps([*modules, *outside]))
    (base.parent / "elsewhere").mkdir(exist_ok=True)
    (base.parent / "elsewhere" / "secret").write_text("x")
    tx.transplant(base, base, tmp_path / "out", method="subword")
    found = sorted(file.name for file in (tmp_path / "out" / "2_Dense").iterdir())
    assert found == ["config.json", "model.safetensors"]
    assert not any(tmp_path.rglob("secret"))


def sentence_encoder(tiny: Tiny) -> Path:
    """A tiny encoder with the files of sentence-transformers, written by hand."""
    folder = tiny.copy(tiny.model("bert"))
    kind = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}Pooling"},
    ]
    settings = {"max_seq_length": 17, "do_lower_case": False}
    pooling = {
        "word_embedding_dimension": 16,
        "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": True,
    }
    own = {"prompts": {"query": "q: "}, "default_prompt_name": None}
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", modules),
        ("sentence_bert_config.json", settings),
        ("config_sentence_transformers.json", own),
        ("1_Pooling/config.json", pooling),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


FRAMES = {
    "bytebpe": (["<|endoftext|>", "", "[SEP]"], {"[PAD]", "[SEP]"}),
    "spbpe": (["<s>", "", "</s>"], {"[PAD]"}),
    "unigram": (["<s>", "", "</s>"], set()),
    "wordpiece": (["[CLS]", "", "[SEP]"], set()),
}


@pytest.mark.parametrize("family", FRAMES)
@pytest.mark.parametrize("bare", [True, False])
def test_texts_of_an_encoder_keep_their_frame(tiny: Tiny, family: str, bare: bool) -> None:
    base, out = tiny.model("bert"), tiny.fresh()
    donor = tiny.tokenizer(family, size=400, bare=bare)
    report = tx.transplant(base, donor, out, method="subword")
    tokenizer, plain = AutoTokenizer.from_pretrained(out), Tokenizer.from_file(file_of(donor))
    text = ["The quick brown fox", "runs on"]
    first_space = " " if family == "bytebpe" else ""
    inside = [plain.encode(first_space + p, add_special_tokens=False).ids for p in text]
    frame, added = FRAMES[family]
    first, last = (tokenizer.convert_tokens_to_ids(frame[place]) for place in (0, 2))
    found = tokenizer(text[0])
    assert found["input_ids"] == [first, *inside[0], last]
    both = tokenizer(*text)
    assert both["input_ids"] == [first, *inside[0], last, *inside[1], last]
    assert set(tokenizer.get_vocab()) - set(plain.get_vocab()) == added
    old = tx.ByteVocabulary.from_file(base)
    before, after = tensors_of(base)[WORDS], tensors_of(out)[WORDS]
    for token, role in ((first, "cls"), (last, "sep"), (tokenizer.pad_token_id, "pad")):
        assert torch.equal(after[token], before[old.roles[role]])
    assert tokenizer(text, padding=True)["attention_mask"][1][-1] == 0
    told = " ".join(report.warnings)
    assert ("Added to the tokenizer" in told) == bool(added)
    assert all(name in told for name in added)


@pytest.mark.parametrize("stated", [None, False])
def test_a_text_of_a_byte_level_donor_begins_with_a_word(
    tiny: Tiny, tmp_path: Path, stated: bool | None
) -> None:
    """BERT reads a first word like any other; without a space it would be a word's inside."""
    base, donor = tiny.model("bert"), tiny.copy(tiny.tokenizer("bytebpe"))
    if stated is not None:
        config = json_of(donor, "tokenizer_config.json") | {"add_prefix_space": stated}
        (donor / "tokenizer_config.json").write_text(json.dumps(config))
    report = tx.transplant(base, donor, tmp_path / "out", method="subword")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("the dog")["input_ids"] == tokenizer(" the dog")["input_ids"]
    assert any("a space is put before it" in warning for warning in report.warnings)


def test_a_space_is_not_put_before_every_part_of_a_text(tiny: Tiny, tmp_path: Path) -> None:
    donor = tiny.tokenizer("qwen")  # splits first, then spells bytes
    tx.transplant(tiny.model("bert"), donor, tmp_path / "out", method="subword")
    plain = Tokenizer.from_file(file_of(donor))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "the dog, 12 foxes"
    expected = plain.encode(text, add_special_tokens=False).ids
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected


def test_types_of_two_texts_are_the_bases(tiny: Tiny) -> None:
    base, out = tiny.copy(tiny.model("bert")), tiny.fresh()
    content = json_of(base, "tokenizer.json")
    for item in content["post_processor"]["pair"][3:]:
        next(iter(item.values()))["type_id"] = 1
    (base / "tokenizer.json").write_text(json.dumps(content))
    tx.transplant(base, tiny.tokenizer("unigram"), out, method="subword")
    found = AutoTokenizer.from_pretrained(out)("the dog", "the fox", return_token_type_ids=True)
    kinds, ids = found["token_type_ids"], found["input_ids"]
    end = ids.index(ids[-1])
    assert kinds == [0] * (end + 1) + [1] * (len(ids) - end - 1)


def test_a_base_without_a_frame_takes_the_donors_away(tiny: Tiny) -> None:
    base, out = tiny.copy(tiny.model("bert")), tiny.fresh()
    content = json_of(base, "tokenizer.json") | {"post_processor": None}
    (base / "tokenizer.json").write_text(json.dumps(content))
    tx.transplant(base, tiny.tokenizer("spbpe"), out, method="subword")
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("the dog")["input_ids"] == tokenizer.encode(
        "the dog", add_special_tokens=False
    )


def test_a_causal_model_keeps_the_donors_frame(tiny: Tiny) -> None:
    base, out = tiny.model("llama", tokenizer="wordpiece"), tiny.fresh()
    tx.transplant(base, tiny.tokenizer("bytebpe"), out, method="subword")
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert "[SEP]" not in tokenizer.get_vocab()


def test_a_framed_tokenizer_of_the_donors_own_rows(tiny: Tiny) -> None:
    """Tokens that were added have no row in the donor, and are learnt from by no method."""
    base, donor, out = tiny.model("bert"), tiny.model("llama", tied=False), tiny.fresh()
    report = tx.transplant(base, donor, out, method="omp")
    assert report.rows["input"]["role"] == 3
    assert report.rows["input"]["omp"] > 10


def test_a_model_that_counts_positions_from_its_padding_must_keep_that_id(
    tiny: Tiny, tmp_path: Path
) -> None:
    import transformers

    base = tiny.copy(tiny.model("bert"))
    config = json_of(base, "config.json") | {
        "model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 0,
    }  # fmt: skip
    (base / "config.json").write_text(json.dumps(config))
    donor = tiny.tokenizer("unigram")  # its pad is 1
    with pytest.raises(UnsupportedError, match=r"counts positions from its padding token \(id 0\)"):
        tx.transplant(base, donor, tmp_path / "out", method="subword")
    assert transformers.AutoModel.from_pretrained(base) is not None


def file_of(donor: Path) -> str:
    return str(donor / "tokenizer.json")
