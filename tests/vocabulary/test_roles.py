"""Which special token plays which role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vocabulary.vocabularies import added, content_of, small_bpe, vocabulary, write
from tokxfer.vocabulary import ByteVocabulary, Kind, read_vocabulary


def named(known: ByteVocabulary) -> dict[str, str]:
    return {role: known.names[token] for role, token in known.roles.items()}


@pytest.mark.parametrize(
    ("family", "roles"),
    [
        ("byte_level", {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}),
        ("sentencepiece_bpe", {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}),
        (
            "unigram",
            {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"},
        ),
        (
            "word_piece",
            {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"},
        ),
        (
            "gemma",
            {
                "bos": "<bos>",
                "eos": "<eos>",
                "pad": "<pad>",
                "unk": "<unk>",
                "chat:<start_of_turn>": "<start_of_turn>",
                "chat:<end_of_turn>": "<end_of_turn>",
            },
        ),
        (
            "byte_level_groups",
            {
                "bos": "<|begin_of_text|>",
                "eos": "<|end_of_text|>",
                "chat:<|start_header_id|>": "<|start_header_id|>",
                "chat:<|end_header_id|>": "<|end_header_id|>",
                "chat:<|eot_id|>": "<|eot_id|>",
            },
        ),
    ],
)
def test_a_bare_tokenizer_shows_its_roles(family: str, roles: dict[str, str]) -> None:
    assert named(vocabulary(family)) == roles


def folder(tmp_path: Path, **files: Any) -> ByteVocabulary:
    """A vocabulary with special tokens whose names say nothing, and files beside it."""
    names = ("<a>", "<b>", "<c>", "<d>")
    entries = [added(name, 2 + place, special=True) for place, name in enumerate(names)]
    content = small_bpe({"x": 0, "Ġ": 1}, added_tokens=entries)
    return read_vocabulary(write(tmp_path, content, **files))


def test_names_that_say_nothing_are_markers(tmp_path: Path) -> None:
    assert list(folder(tmp_path).roles) == ["marker:<a>", "marker:<b>", "marker:<c>", "marker:<d>"]


def test_the_tokenizer_config_declares_roles_as_names_or_objects(tmp_path: Path) -> None:
    known = folder(tmp_path, tokenizer_config={"bos_token": "<a>", "eos_token": {"content": "<b>"}})
    assert (known.names[known.roles["bos"]], known.names[known.roles["eos"]]) == ("<a>", "<b>")


def test_special_tokens_map_and_configs_declare_roles_too(tmp_path: Path) -> None:
    known = folder(
        tmp_path,
        special_tokens_map={"pad_token": "<c>"},
        generation_config={"eos_token_id": [3, 2]},
        config={"text_config": {"bos_token_id": 2}},
    )
    assert named(known) == {"pad": "<c>", "eos": "<b>", "bos": "<a>", "marker:<d>": "<d>"}


def test_the_tokenizer_config_comes_before_the_others(tmp_path: Path) -> None:
    known = folder(
        tmp_path,
        tokenizer_config={"eos_token": "<a>", "bos_token": None},
        special_tokens_map={"eos_token": "<b>"},
        config={"eos_token_id": 4, "bos_token_id": 5},
    )
    assert (known.roles["eos"], known.roles["bos"]) == (2, 5)


def test_a_number_that_is_no_added_token_is_no_role(tmp_path: Path) -> None:
    assert "bos" not in folder(tmp_path, config={"bos_token_id": 0, "eos_token_id": 99}).roles


def test_a_declared_token_that_does_not_exist_is_no_role(tmp_path: Path) -> None:
    assert "pad" not in folder(tmp_path, tokenizer_config={"pad_token": "<pad>"}).roles


def test_an_ordinary_token_may_play_a_role_and_remains_text(tmp_path: Path) -> None:
    known = folder(tmp_path, tokenizer_config={"pad_token": "x"})
    assert known.roles["pad"] == 0
    assert known.kinds[0] == Kind.NORMAL
    assert known.ids_of(b"x") == (0,)


def test_a_bracketed_role_is_special_even_if_it_was_not_added(tmp_path: Path) -> None:
    content = small_bpe({"x": 0, "<s>": 1})
    declared = read_vocabulary(
        write(tmp_path / "a", content, tokenizer_config={"bos_token": "<s>"})
    )
    assert declared.kinds[1] == Kind.SPECIAL
    assert read_vocabulary(write(tmp_path / "b", content)).kinds[1] == Kind.NORMAL


def test_the_models_unknown_token_is_special_whatever_its_name(tmp_path: Path) -> None:
    content = small_bpe({"x": 0, "huh": 1}, model={"unk_token": "huh"})
    known = read_vocabulary(write(tmp_path, content))
    assert known.roles == {"unk": 1}
    assert known.kinds[1] == Kind.SPECIAL


def test_a_roberta_post_processor_shows_begin_and_end(tmp_path: Path) -> None:
    content = small_bpe(
        {"x": 0},
        added_tokens=[added("<a>", 1, special=True), added("<b>", 2, special=True)],
        post_processor={
            "type": "RobertaProcessing",
            "cls": ["<a>", 1],
            "sep": ["<b>", 2],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
    )
    known = read_vocabulary(write(tmp_path, content))
    assert named(known) == {"bos": "<a>", "eos": "<b>", "cls": "<a>", "sep": "<b>"} or named(
        known
    ) == {"bos": "<a>", "eos": "<b>"}


def test_a_bert_post_processor_shows_cls_and_sep(tmp_path: Path) -> None:
    content = content_of("word_piece")
    content["post_processor"] = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
    known = read_vocabulary(write(tmp_path, content))
    assert (known.names[known.roles["cls"]], known.names[known.roles["sep"]]) == ("[CLS]", "[SEP]")
    assert "bos" not in known.roles


def test_a_template_after_the_text_shows_the_end(tmp_path: Path) -> None:
    content = small_bpe(
        {"x": 0},
        added_tokens=[added("<a>", 1, special=True)],
        post_processor={
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<a>", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<a>": {"id": "<a>", "ids": [1], "tokens": ["<a>"]}},
        },
    )
    assert named(read_vocabulary(write(tmp_path, content))) == {"eos": "<a>"}


def test_a_marker_of_the_chat_template_is_of_the_chat(tmp_path: Path) -> None:
    known = folder(tmp_path, tokenizer_config={"chat_template": "<c>{{ x }}"})
    assert [role for role in known.roles if role.startswith("chat")] == ["chat:<c>"]


def test_a_chat_template_in_its_own_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ x }}<d>", encoding="utf-8")
    assert "chat:<d>" in folder(tmp_path).roles


def test_roles_can_be_declared_for_a_loaded_tokenizer() -> None:
    from tests.families import byte_level

    tokenizer = byte_level(specials=("<a>", "<b>"))
    known = ByteVocabulary.from_tokenizer(tokenizer, {"eos_token": "<b>", "bos_token_id": 0})
    assert (known.roles["eos"], known.roles["bos"]) == (1, 0)
