"""Texts as two models read them: what every pair of sides must hold, whatever the families."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.places import characters_at
from tokxfer.alignment.sides import Pair, Side
from tokxfer.alignment.windows import collate
from tokxfer.vocabulary import ByteVocabulary

VOCABULARIES = {name: ByteVocabulary.from_tokenizer(make()) for name, make in FAMILIES.items()}
FAITHFUL = [name for name, vocabulary in VOCABULARIES.items() if not vocabulary.normalizes]
PAIRS = [(left, right) for left in FAMILIES for right in FAMILIES]
ALIGNERS: dict[tuple[str, str], Aligner] = {}
LETTERS = st.text(alphabet="aeit dog.1290\n ½漢字かé́ß🙂", max_size=25)


def aligner(left: str, right: str) -> Aligner:
    if (left, right) not in ALIGNERS:
        ALIGNERS[left, right] = Aligner(VOCABULARIES[left], VOCABULARIES[right])
    return ALIGNERS[left, right]


def spelled(side: Side, vocabulary: ByteVocabulary, chunk: int) -> bytes:
    """What a side's tokens of a chunk spell, one after another."""
    return b"".join(vocabulary.tokens[token] for token in side.ids[side.chunk == chunk].tolist())


def texts_of(pair: Pair) -> list[bytes]:
    """The text of each chunk."""
    ends = [0, *accumulate(pair.sizes.tolist())]
    return [pair.text[low:high] for low, high in pairwise(ends)]


@pytest.mark.parametrize(("left", "right"), PAIRS)
@given(texts=st.lists(LETTERS, max_size=3))
@settings(max_examples=15)
def test_sides_tell_the_same_text_in_the_same_order(
    left: str, right: str, texts: list[str]
) -> None:
    pairs = aligner(left, right).align(texts)
    assert [pair.number for pair in pairs] == list(range(len(texts)))
    for pair, text in zip(pairs, texts, strict=True):
        assert pair.text == text.encode()
        for side, name in ((pair.teacher, left), (pair.student, right)):
            known = side.ids != VOCABULARIES[name].roles.get("unk", -1)
            assert not side.trained[:1].any()
            assert (side.trained == known)[1:].all()
            placed = side.chunk[side.chunk != NONE]
            assert (np.diff(placed) >= 0).all()
            assert set(placed.tolist()) == set(range(len(pair.sizes)))
        assert pair.sizes.sum() <= len(pair.text)
        assert pair.sizes[:-1].min(initial=1) > 0


@pytest.mark.parametrize("left", FAITHFUL)
@pytest.mark.parametrize("right", FAITHFUL)
@given(texts=st.lists(LETTERS, min_size=1, max_size=3))
@settings(max_examples=15)
def test_both_sides_of_a_chunk_spell_its_text(left: str, right: str, texts: list[str]) -> None:
    for pair in aligner(left, right).align(texts, add_ends=False):
        assert pair.sizes.sum() == len(pair.text)
        for at, text in enumerate(texts_of(pair)):
            for side, name in ((pair.teacher, left), (pair.student, right)):
                mark = b" " if at == 0 and name in ("sentencepiece_bpe", "unigram_bytes") else b""
                assert spelled(side, VOCABULARIES[name], at) in (text, mark + text)


def test_ends_are_shared_where_both_sides_have_them() -> None:
    pair = aligner("gemma", "word_piece").align(["the dog"])[0]
    names = [
        [VOCABULARIES[name].names[token] for token in side.ids[[0, -1]].tolist()]
        for name, side in (("gemma", pair.teacher), ("word_piece", pair.student))
    ]
    assert names == [["<bos>", "<eos>"], ["[CLS]", "[SEP]"]]
    assert (pair.sizes[-1], pair.last[-1]) == (0, -1)
    for side in (pair.teacher, pair.student):
        assert side.chunk[[0, -1]].tolist() == [NONE, len(pair.sizes) - 1]
        assert side.trained[[0, -1]].tolist() == [False, True]


def test_an_end_token_of_one_side_alone_is_not_added() -> None:
    bare = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](specials=()))
    assert not bare.roles
    pair = Aligner(bare, VOCABULARIES["gemma"]).align(["the dog"])[0]
    assert pair.teacher.ids.tolist() == bare.encode("the dog")
    assert pair.student.ids.tolist() == [
        VOCABULARIES["gemma"].roles["bos"], *VOCABULARIES["gemma"].encode("the dog"),
    ]  # fmt: skip
    assert pair.sizes.min() > 0


def test_a_begin_token_on_one_side_leaves_the_chunks_as_they_are() -> None:
    bare = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](specials=()))
    both = Aligner(bare, VOCABULARIES["gemma"])
    framed, plain = both.align([TEXT])[0], both.align([TEXT], add_ends=False)[0]
    assert framed.student.ids[0] == VOCABULARIES["gemma"].roles["bos"]
    assert len(plain.sizes) > 300
    assert framed.sizes.tolist() == plain.sizes.tolist()
    assert framed.teacher.chunk.tolist() == plain.teacher.chunk.tolist()
    assert framed.student.chunk[1:].tolist() == plain.student.chunk.tolist()


def test_a_text_by_itself_is_aligned_as_among_others() -> None:
    texts = ["the dog", "", "1492 ½", "漢字"]
    for left, right in (("gemma", "unigram"), ("sentencepiece_bpe", "word_piece")):
        for text, among in zip(texts, aligner(left, right).align(texts), strict=True):
            alone = aligner(left, right).align([text])[0]
            assert alone.sizes.tolist() == among.sizes.tolist()
            assert alone.last.tolist() == among.last.tolist()
            for side in ("teacher", "student"):
                one, other = getattr(alone, side), getattr(among, side)
                assert one.ids.tolist() == other.ids.tolist()
                assert one.chunk.tolist() == other.chunk.tolist()


@given(LETTERS)
def test_the_last_character_is_the_one_that_ends_there(text: str) -> None:
    found = characters_at(text, len(text.encode()))
    expected = {len(text[: at + 1].encode()): ord(one) for at, one in enumerate(text)}
    assert found.tolist() == [expected.get(at, -1) for at in range(len(text.encode()) + 1)]


def test_chunks_know_their_last_character() -> None:
    pair = aligner("byte_level", "sentencepiece_bpe").align(["dog 漢🙂!"], add_ends=False)[0]
    for end, last in zip(accumulate(pair.sizes.tolist()), pair.last.tolist(), strict=True):
        try:
            assert ord(pair.text[:end].decode()[-1]) == last
        except UnicodeDecodeError:
            assert last == -1
    assert {ord("g"), ord("漢"), ord("!")} <= set(pair.last.tolist())


def test_text_without_a_token_is_no_target_and_its_chunk_none() -> None:
    """An unknown token is as likely as anything unknown, not as the text that it stands for."""
    teacher = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"]())
    student = ByteVocabulary.from_tokenizer(FAMILIES["word_piece"]())
    (pair,) = Aligner(teacher, student).align(["the dog ☃ sat"])
    unknown = pair.student.ids == student.roles["unk"]
    assert unknown.sum() == 1
    assert not pair.student.trained[unknown].any()
    batch = collate([[pair]], 0, 0)
    assert (batch.student.chunk[0][unknown] == -1).all()
    assert (batch.student.chunk[0] >= 0).sum() >= 4  # what is known around it
