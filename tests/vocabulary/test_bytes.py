"""Every id's bytes and kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import FAMILIES
from tests.vocabulary.vocabularies import (
    LOSSLESS,
    NAMES,
    added,
    content_of,
    small_bpe,
    vocabulary,
    write,
)
from tokxfer.vocabulary import ByteVocabulary, Kind, read_vocabulary
from tokxfer.vocabulary.spelling import BYTE_TO_CHARACTER

WORDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8), min_size=1)


@pytest.mark.parametrize("name", sorted(LOSSLESS))
@given(text=st.text(min_size=1))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_the_bytes_of_a_texts_tokens_join_to_the_text(name: str, text: str) -> None:
    known = vocabulary(name)
    joined = b"".join(known.tokens[token] for token in known.encode(text))
    assert joined == LOSSLESS[name] + text.encode()


@pytest.mark.parametrize("name", ["unigram", "unigram_bytes", "word_piece"])
@given(words=WORDS)
@settings(deadline=None, derandomize=True, max_examples=50)
def test_words_start_with_a_space_in_families_that_normalize(name: str, words: list[str]) -> None:
    known = vocabulary(name)
    tokens = known.encode(" ".join(words))
    if known.roles["unk"] in tokens:
        return
    joined = b"".join(known.tokens[token] for token in tokens)
    assert joined == b"".join(b" " + word.encode() for word in words)


@pytest.mark.parametrize("name", ["byte_level", "byte_level_groups", "gemma"])
def test_the_tokenizers_own_decoder_agrees_wherever_bytes_are_text(name: str) -> None:
    known = vocabulary(name)
    for token in known.text_ids.tolist():
        text = known.tokens[token].decode(errors="replace")
        if "\ufffd" not in text:
            assert known.decode([token]) == text


def test_gpt2s_alphabet_is_the_librarys() -> None:
    from tokenizers import pre_tokenizers

    assert set(BYTE_TO_CHARACTER.values()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert len(BYTE_TO_CHARACTER) == 256


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_names_are_the_librarys(name: str) -> None:
    known = vocabulary(name)
    library = FAMILIES[name]().get_vocab(with_added_tokens=True)
    assert {name: token for token, name in enumerate(known.names)} == library
    assert known.size == known.used == len(library)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("byte_level", "byte-level BPE"),
        ("byte_level_groups", "byte-level BPE"),
        ("sentencepiece_bpe", "SentencePiece BPE"),
        ("gemma", "SentencePiece BPE"),
        ("unigram", "Unigram"),
        ("unigram_bytes", "Unigram"),
        ("word_piece", "WordPiece"),
    ],
)
def test_the_family_is_read_from_the_content(name: str, family: str) -> None:
    assert vocabulary(name).family == family


@pytest.mark.parametrize("name", NAMES)
def test_only_families_that_change_text_say_so(name: str) -> None:
    assert vocabulary(name).normalizes == (name in ("unigram", "word_piece"))


def test_dropped_white_space_counts_as_changed_text(tmp_path: Path) -> None:
    content = content_of("unigram_bytes")
    assert not read_vocabulary(write(tmp_path / "a", content)).normalizes
    steps = [{"type": "WhitespaceSplit"}, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    assert read_vocabulary(write(tmp_path / "b", content)).normalizes


@pytest.mark.parametrize("name", ["sentencepiece_bpe", "gemma", "unigram_bytes"])
def test_a_byte_token_is_its_byte(name: str) -> None:
    known = vocabulary(name)
    for value in range(256):
        token = known.names.index(f"<0x{value:02X}>")
        assert known.tokens[token] == bytes([value])
        assert known.kinds[token] == Kind.BYTE


def test_without_byte_fallback_such_a_name_is_text(tmp_path: Path) -> None:
    content = content_of("unigram")
    content["model"]["vocab"].append(["<0x0A>", -5.0])
    known = read_vocabulary(write(tmp_path, content))
    assert known.tokens[-1] == b"<0x0A>"
    assert known.kinds[-1] == Kind.NORMAL


def test_the_word_start_mark_is_a_space_wherever_it_stands() -> None:
    known = vocabulary("sentencepiece_bpe")
    assert known.tokens[known.names.index("▁the")] == b" the"
    assert not any("▁".encode() in token for token in known.tokens)


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "decoder"])
def test_only_what_stands_for_a_space_is_the_word_start_mark(tmp_path: Path, part: str) -> None:
    """Text that a normalizer turns into spaces is no mark, whatever comes first."""
    content = content_of("sentencepiece_bpe")
    broken = {"type": "Replace", "pattern": {"String": "<br>"}, "content": " "}
    steps = content["normalizer"]["normalizers"]
    content["normalizer"]["normalizers"] = [broken, *steps]
    if part == "decoder":  # the mark is then known from the decoder alone
        content["normalizer"] = broken
    if part == "pre_tokenizer":
        content["normalizer"], content["decoder"] = broken, None
        content["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False,
        }  # fmt: skip
    known = read_vocabulary(write(tmp_path, content))
    assert known.tokens == vocabulary("sentencepiece_bpe").tokens


def test_a_wordpiece_token_starts_a_word_unless_it_continues_one() -> None:
    known = vocabulary("word_piece")
    assert known.tokens[known.names.index("the")] == b" the"
    assert known.tokens[known.names.index("##e")] == b"e"


def test_a_token_that_is_the_continuation_mark_alone_is_text(tmp_path: Path) -> None:
    content = content_of("word_piece")
    content["model"]["vocab"]["##"] = len(content["model"]["vocab"])
    assert read_vocabulary(write(tmp_path, content)).tokens[-1] == b" ##"


def test_a_letter_of_latin_1_is_a_byte_only_in_byte_level_names(tmp_path: Path) -> None:
    content = content_of("sentencepiece_bpe")
    content["model"]["vocab"]["Ã"] = len(content["model"]["vocab"])
    sentencepiece, byte_level = read_vocabulary(write(tmp_path, content)), vocabulary("byte_level")
    assert byte_level.tokens[byte_level.names.index("Ã")] == b"\xc3"
    assert sentencepiece.tokens[sentencepiece.names.index("Ã")] == "Ã".encode()


def test_a_special_token_has_its_spelling_and_stands_for_no_text() -> None:
    known = vocabulary("sentencepiece_bpe")
    assert known.tokens[known.roles["eos"]] == b"</s>"
    assert known.kinds[known.roles["eos"]] == Kind.SPECIAL
    assert known.ids_of(b"</s>") == ()


def test_an_added_token_outside_the_model_is_literal_text(tmp_path: Path) -> None:
    content = small_bpe({"a": 0, "Ġ": 1}, added_tokens=[added("é  ", 2, special=False)])
    known = read_vocabulary(write(tmp_path, content))
    assert known.tokens[2] == "é  ".encode()
    assert known.kinds[2] == Kind.ADDED


def test_an_added_token_of_the_model_keeps_the_models_bytes(tmp_path: Path) -> None:
    content = small_bpe({"a": 0, "Ġ": 1}, added_tokens=[added("Ġ", 1, special=False)])
    known = read_vocabulary(write(tmp_path, content))
    assert (known.tokens[1], known.kinds[1]) == (b" ", Kind.ADDED)


def test_a_byte_level_name_outside_the_alphabet_is_literal_text(tmp_path: Path) -> None:
    known = read_vocabulary(write(tmp_path, small_bpe({"a": 0, "中 ": 1})))
    assert known.tokens[1] == "中 ".encode()


def test_gaps_between_ids_are_unused_and_not_counted(tmp_path: Path) -> None:
    known = read_vocabulary(write(tmp_path, small_bpe({"a": 0, "b": 1, "c": 5})))
    assert (known.size, known.used) == (6, 3)
    assert known.kinds.tolist() == [0, 0, Kind.UNUSED, Kind.UNUSED, Kind.UNUSED, 0]
    assert known.tokens[2:5] == (b"", b"", b"")


@pytest.mark.parametrize(
    "entries",
    [
        [added("<x>", 9, special=True), added("<y>", 7, special=True)],
        [added("<x>", 0, special=True)],
        [added("b", 4, special=True), added("<x>", 8, special=False)],
    ],
)
def test_added_tokens_get_the_ids_that_loading_gives_them(tmp_path: Path, entries: list) -> None:
    known = read_vocabulary(write(tmp_path, small_bpe({"a": 0, "b": 1}, added_tokens=entries)))
    library = known.tokenizer.get_vocab(with_added_tokens=True)
    assert {name: token for token, name in enumerate(known.names)} == library


def test_added_tokens_behind_a_vocabulary_with_gaps_get_the_librarys_ids(tmp_path: Path) -> None:
    """The library counts on from the number of the model's tokens, whatever their ids."""
    entries = [added(name, 20, special=True) for name in ("<x>", "d", "<y>")]
    vocab = {"a": 11, "b": 10, "c": 0, "d": 7}
    known = read_vocabulary(write(tmp_path, small_bpe(vocab, added_tokens=entries)))
    library = known.tokenizer.get_vocab(with_added_tokens=True)
    assert {name: token for token, name in enumerate(known.names) if name} == library


def test_text_becomes_the_first_of_several_ids_with_the_same_bytes() -> None:
    known = vocabulary("sentencepiece_bpe")
    both = known.ids_of(b"e")
    assert [known.names[token] for token in both] == ["e", "<0x65>"]
    assert known.encode("me")[-1] in (both[0], *known.ids_of(b" me"))


def test_an_added_token_comes_before_the_models_of_the_same_bytes(tmp_path: Path) -> None:
    content = small_bpe({"a": 0, "Ġ": 1, "ĠĠ": 2}, added_tokens=[added("  ", 3, special=False)])
    known = read_vocabulary(write(tmp_path, content))
    assert known.ids_of(b"  ") == (3, 2)
    assert known.encode("  ") == [3]


def test_the_kinds_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        vocabulary("byte_level").kinds[0] = Kind.SPECIAL


def test_equal_content_makes_equal_vocabularies() -> None:
    first, second = (ByteVocabulary.from_tokenizer(FAMILIES["gemma"]()) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != vocabulary("byte_level")
    assert first != "gemma"


def test_a_vocabulary_describes_itself_in_a_line() -> None:
    text = repr(vocabulary("byte_level"))
    assert text.startswith("ByteVocabulary('the tokenizer', byte-level BPE, size=480")
    assert '"eos": "<|endoftext|>"' in text


def test_encoding_adds_no_special_tokens() -> None:
    known = vocabulary("unigram")
    assert not np.isin(known.encode("the dog"), [known.roles["bos"], known.roles["eos"]]).any()


def test_a_tokenizers_truncation_and_padding_are_left_out(tmp_path: Path) -> None:
    tokenizer = FAMILIES["byte_level"]()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    known = read_vocabulary(tmp_path)
    assert len(known.encode("the quick brown fox jumps over")) > 3
    assert len(known.encode("t")) == 1
