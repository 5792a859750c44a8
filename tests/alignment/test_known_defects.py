"""What other aligners get wrong, each defect by its symptom."""

from __future__ import annotations

import unicodedata
from itertools import accumulate

import numpy as np
import pytest

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner
from tokxfer.vocabulary import ByteVocabulary

VOCABULARIES = {name: ByteVocabulary.from_tokenizer(make()) for name, make in FAMILIES.items()}
COMPATIBLE = "half: ½ cup, ﬁne café ① ２ end"  # NFKC writes most of its words otherwise


def chunk_ends(left: str, right: str, text: str) -> list[str]:
    """The texts up to where each chunk ends."""
    pair = Aligner(VOCABULARIES[left], VOCABULARIES[right]).align([text], add_ends=False)[0]
    return [pair.text[:end].decode(errors="ignore") for end in accumulate(pair.sizes.tolist())]


@pytest.mark.parametrize("other", FAMILIES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_text_that_a_normalizer_rewrites_raises_nothing(other: str, form: str) -> None:
    text = unicodedata.normalize(form, COMPATIBLE)
    ends = chunk_ends(other, "unigram", text)
    assert ends[-1] == text
    for word in ("half", "cup,", "end"):  # what is not rewritten still ends chunks
        assert text[: text.index(word) + len(word)] in ends


@pytest.mark.parametrize("other", FAMILIES)
def test_sentencepiece_text_raises_nothing(other: str) -> None:
    for line in TEXT.splitlines():
        ends = chunk_ends("sentencepiece_bpe", other, line)
        assert ends[-1:] == [line] or not line.strip()


@pytest.mark.parametrize("name", ["unigram", "word_piece"])
def test_ids_are_those_of_the_tokenizer_with_its_normalizer(name: str) -> None:
    pair = Aligner(VOCABULARIES["gemma"], VOCABULARIES[name]).align([COMPATIBLE], add_ends=False)[0]
    assert pair.student.ids.tolist() == VOCABULARIES[name].encode(COMPATIBLE)
    without = "".join(VOCABULARIES[name].tokens[i].decode() for i in pair.student.ids.tolist())
    assert "½" not in without or name == "word_piece"


def test_a_begin_token_on_one_side_does_not_make_one_chunk_of_all() -> None:
    bare = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](specials=()))
    pair = Aligner(bare, VOCABULARIES["gemma"]).align(["the quick brown fox"])[0]
    assert len(pair.sizes) > 4
    assert pair.student.chunk[:2].tolist() == [NONE, 0]


@pytest.mark.parametrize("left", ["byte_level", "byte_level_groups"])
@pytest.mark.parametrize("right", ["sentencepiece_bpe", "gemma", "unigram_bytes"])
def test_chunks_go_on_behind_characters_of_several_tokens(left: str, right: str) -> None:
    text = "a 😀👍🏽 ∑≠ — “quoted” the dog sat"
    ends = chunk_ends(left, right, text)
    for place in (text.index(" the"), text.index(" sat"), len(text)):
        assert text[:place] in ends
    assert len(ends) > 8


def test_boundaries_of_ideographs_in_byte_tokens_are_kept() -> None:
    text = "龘靐齉"  # in no family's training text
    fallback = VOCABULARIES["sentencepiece_bpe"]
    spelled = [fallback.names[token] for token in fallback.encode(text)]
    assert sum(name.startswith("<0x") for name in spelled) == 9
    letters = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](vocab_size=257))
    pair = Aligner(letters, fallback).align([text], add_ends=False)[0]
    assert pair.sizes.tolist() == [1] * 9
    assert pair.last.tolist() == [-1, -1, ord("龘"), -1, -1, ord("靐"), -1, -1, ord("齉")]


@pytest.mark.parametrize("other", FAMILIES)
def test_numbers_of_other_cuts_end_together(other: str) -> None:
    pair = Aligner(VOCABULARIES["byte_level_groups"], VOCABULARIES[other]).align(["x 1234567 y"])[0]
    chunk = pair.teacher.chunk[pair.teacher.chunk != NONE]
    assert (np.bincount(chunk) > 0).all()
    assert b"x 1234567" in {pair.text[:end] for end in np.cumsum(pair.sizes).tolist()}
