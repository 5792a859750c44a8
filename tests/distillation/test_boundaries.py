"""Boundary sets hold what surely begins a token, on both sides, in any script."""

from __future__ import annotations

import random
import time
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.places import Placer
from tokxfer.distillation.boundaries import BOUNDARIES, Learned, Whitespace, ending
from tokxfer.vocabulary import ByteVocabulary, Kind

MARKS = "e\u0301a\u0308が\u3099ｶﾞ각\u1100\u1161\u11a8½ﬁ²…`'´\u200d\u00a0\u3000\x07☃🇩🇪👍🏽▁■\ufffd"
SCRIPTS = "的一是不了人我在有他这中大来上漢字かなカナ안녕하세요ЖилиБылиéüßñçΣςשלוםमराठी"
PAIRS = list(product(FAMILIES, FAMILIES))


@cache
def vocabulary(family: str) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(FAMILIES[family]())


@cache
def learned(one: str, other: str) -> Learned:
    return Learned(vocabulary(one), vocabulary(other))


@cache
def texts() -> tuple[str, ...]:
    """Words of the training text, and strings of odd characters in any order."""
    source = random.Random(7)
    words, odd = TEXT.split(" "), MARKS + SCRIPTS + " \n\t.,()0129abXYZ"
    found = []
    for _ in range(60):
        parts = [
            source.choice(words) if source.random() < 0.4 else
            "".join(source.choices(odd, k=source.randint(1, 6))) for _ in range(20)
        ]  # fmt: skip
        found.append(source.choice(["", " "]).join(parts))
    return (TEXT, *found)


@cache
def ends(family: str) -> tuple[frozenset[int], ...]:
    """The bytes of each text at which a token ends."""
    placer, found = Placer(vocabulary(family)), []
    for text in texts():
        places = placer.place([text]).ends
        found.append(frozenset(places[places > 0].tolist()))
    return tuple(found)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_token_of_either_side_goes_across_a_boundary(one: str, other: str) -> None:
    both, boundaries, characters = learned(one, other), 0, 0
    for at, text in enumerate(texts()):
        byte = 0
        for before, behind in pairwise(text):
            byte += len(before.encode())
            characters += 1
            if both.surely(before, behind):
                boundaries += 1
                for family in (one, other):
                    where = f"{family}: {text[:-1]!r} at {byte}, {before!r}|{behind!r}"
                    assert byte in ends(family)[at], where
    assert boundaries > 0.05 * characters


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece_bpe", "unigram_bytes"])
def test_a_set_holds_the_tokens_that_loops_find(family: str) -> None:
    """Every whole character that no token of the two holds behind the chunk's last one."""
    mine, theirs = vocabulary(family), vocabulary("byte_level_groups")
    both = learned(family, "byte_level_groups")
    spelled = [
        [b"" if kind in (Kind.SPECIAL, Kind.UNUSED) else token
         for token, kind in zip(side.tokens, side.kinds.tolist(), strict=True)]
        for side in (mine, theirs)
    ]  # fmt: skip
    for last in "e .n0は":
        members = both.side("teacher").members(torch.tensor([ord(last)]), 0, mine.size)[0]
        for token, data in enumerate(spelled[0]):
            first = data[:4].decode(errors="ignore")[:1]
            if not data.startswith(first.encode() or b"?"):
                continue  # it begins with a part of a character
            pair = (last + first).encode()
            expected = not any(pair in other for side in spelled for other in side)
            cut = any(
                last.encode() + first.encode()[:size] in other[-8:]
                and other.endswith(last.encode() + first.encode()[:size])
                for side in spelled for other in side for size in range(1, len(first.encode()))
            ) or any(
                other.startswith(last.encode()[size:] + first.encode())
                for side in spelled for other in side for size in range(1, len(last.encode()))
            )  # fmt: skip
            assert bool(members[token]) == (expected and not cut), (last, data)


def test_both_sides_allow_the_same_characters() -> None:
    both, points = learned("byte_level", "gemma"), torch.tensor([ord("e"), ord("."), ord("は")])
    allowed: list[list[set[str]]] = []
    for name, family in (("teacher", "byte_level"), ("student", "gemma")):
        side = vocabulary(family)
        members = both.side(name).members(points, 0, side.size)
        text = np.isin(side.kinds, (Kind.NORMAL, Kind.BYTE)) & np.array(
            [token.isascii() for token in side.tokens]
        )
        allowed.append([{side.tokens[token][:1] for token in np.flatnonzero(text & row.numpy())}
                        for row in members])  # fmt: skip
    assert allowed[0] == allowed[1]
    assert 20 < len(allowed[0][0]) < 128


def test_special_tokens_are_boundaries_and_the_unknown_one_is_not() -> None:
    side = vocabulary("unigram")
    both = learned("unigram", "byte_level")
    points = torch.tensor([ord("e"), ord("的")])
    for boundaries in (both, Whitespace(side, vocabulary("byte_level"))):
        members = boundaries.side("teacher").members(points, 0, side.size)
        for name in ("<s>", "</s>", "<pad>", "<mask>"):
            assert bool(members[:, side.names.index(name)].all())
        assert not bool(members[:, side.roles["unk"]].any())
    gpt2 = ByteVocabulary.from_tokenizer(
        FAMILIES["byte_level"](),
        dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    )
    assert ending(gpt2)[gpt2.roles["eos"]]


def test_whitespace_sets_are_tokens_that_begin_with_space() -> None:
    side = vocabulary("byte_level")
    members = Whitespace(side, side).side("student").members(torch.tensor([0, 0]), 0, side.size)
    expected = [
        token.decode(errors="ignore")[:1].isspace() or kind == Kind.SPECIAL
        for token, kind in zip(side.tokens, side.kinds.tolist(), strict=True)
    ]
    assert members.tolist() == [expected, expected]


def test_wide_spaces_are_spaces() -> None:
    """A space of Chinese text has three bytes, none of which is a space of ASCII."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u3000a", -1.0), ("a", -2.0)], 0))
    side = ByteVocabulary.from_tokenizer(tokenizer)
    members = Whitespace(side, side).side("teacher").members(torch.tensor([0]), 0, side.size)
    assert members.tolist() == [[False, True, False]]


@pytest.mark.parametrize("name", BOUNDARIES)
def test_chunks_without_a_last_character_have_no_set(name: str) -> None:
    side = vocabulary("byte_level")
    numbers = BOUNDARIES[name](side, side).numbers(torch.tensor([[ord("a"), -1]]))
    assert (numbers < 0).tolist() == [[False, True]]


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_stretch_of_the_vocabulary_is_part_of_the_whole(name: str) -> None:
    side = vocabulary("sentencepiece_bpe")
    sets = BOUNDARIES[name](side, vocabulary("word_piece")).side("teacher")
    which = torch.tensor([ord("e"), ord("。")])
    whole = sets.members(which, 0, side.size)
    assert torch.equal(sets.members(which, 100, 217), whole[:, 100:217])
    assert torch.equal(sets.members(which[1:], 3, 9), whole[1:, 3:9])


def bytes_only(*more: bytes, normalizer: normalizers.Normalizer | None = None) -> ByteVocabulary:
    """A byte-level vocabulary of single bytes and some more tokens, whatever text they cut."""
    from tokxfer.vocabulary.spelling import BYTE_TO_CHARACTER

    tokens = [*(bytes([value]) for value in range(256)), *more]
    names = {"".join(BYTE_TO_CHARACTER[value] for value in token): at
             for at, token in enumerate(tokens)}  # fmt: skip
    tokenizer = Tokenizer(models.BPE(names, []))
    content = FAMILIES["byte_level"]()
    tokenizer.pre_tokenizer, tokenizer.decoder = content.pre_tokenizer, content.decoder
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return ByteVocabulary.from_tokenizer(tokenizer)


def test_boundaries_are_there_in_scripts_without_spaces() -> None:
    """A set of spaces would leave these five characters one chunk."""
    words = ["世界", *"世界你好吗"]
    both = Learned(bytes_only(*(word.encode() for word in words)), bytes_only("你好".encode()))
    found = [both.surely(*pair) for pair in pairwise("世界你好吗")]
    assert found == [False, True, False, True]


def test_a_token_with_the_beginning_of_a_character_forbids_all_that_begin_so() -> None:
    """`a` and two bytes of 世 in one token: no boundary before 世 or 丗, one before é."""
    world, thirty = "世", "丗"
    side = bytes_only(b"a" + world.encode()[:2], *(c.encode() for c in (world, thirty, "é")))
    both = Learned(side, side)
    assert world.encode()[:2] == thirty.encode()[:2]
    assert not both.surely("a", world)
    assert not both.surely("a", thirty)
    assert both.surely("a", "é")
    members = both.side("teacher").members(torch.tensor([ord("a"), ord("b")]), 0, side.size)
    lead = world.encode()[0]
    assert members[:, lead].tolist() == [False, True]  # it may begin what is forbidden
    assert members[:, "é".encode()[0]].tolist() == [True, True]
    assert not bool(members[:, 0x80:0xC0].any())  # these begin no character


def test_a_token_with_the_end_of_a_character_forbids_all_that_end_so() -> None:
    side = bytes_only("é".encode()[1:] + b"x", b"x")
    both = Learned(side, side)
    assert "é".encode()[1:] == "ũ".encode()[1:]
    assert not both.surely("é", "x")
    assert not both.surely("ũ", "x")
    assert both.surely("ü", "x")
    assert both.surely("é", "y")


def test_bytes_that_are_no_text_forbid_nothing() -> None:
    side = bytes_only(b"\xff\xfe", b"\x80\x80\x80\x80\x80a", b"a\xc0b", b"a\xf5")
    both = Learned(side, side)
    assert all(both.surely(*pair) for pair in ("ab", "aa", "éa"))


def test_added_tokens_hold_their_own_characters_whatever_the_normalizer_does() -> None:
    tokenizer = FAMILIES["word_piece"]()
    tokenizer.add_tokens([AddedToken("(X)", normalized=False)])
    both = Learned(ByteVocabulary.from_tokenizer(tokenizer), vocabulary("byte_level"))
    assert not both.surely("(", "X")
    assert both.surely("(", "Y")


def test_a_mark_that_comes_later_may_make_another_character() -> None:
    """Under NFC `ea` and an accent are two characters, which one token may hold."""
    side = bytes_only("e\u00e1".encode(), b"a", normalizer=normalizers.NFC())
    both = Learned(side, side)
    assert not both.surely("e", "a")
    assert not both.surely("e", "\u00e1")
    assert not both.surely("a", "\u0301")
    assert both.surely("a", "a")


def test_replaced_pairs_of_characters_are_no_boundary() -> None:
    """T5's normalizer writes two quotes as one."""
    tokenizer = FAMILIES["unigram_bytes"]()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("''", '"')])
    both = Learned(ByteVocabulary.from_tokenizer(tokenizer), vocabulary("byte_level"))
    assert not both.surely("'", "'")
    assert not both.surely("e", "'")


def test_large_vocabularies_are_read_in_a_moment(shared: Path) -> None:
    """100,000 tokens and 50,000: a tenth of a second, and little for each new last character."""
    sides = [
        ByteVocabulary.from_file(shared / "tokenizers" / name)
        for name in ("cl100k", "xlmr-unigram-de-50k")
    ]
    started = time.process_time()
    both = Learned(*sides)
    for last in "etaoin的はя":
        both.allowed(ord(last))
    assert time.process_time() - started < 3
    assert both.surely("e", " ")
    assert not both.surely("e", "r")
    members = both.side("teacher").members(torch.tensor([ord("e")]), 0, sides[0].size)
    assert 0.3 < float(members.float().mean()) < 0.95
    assert np.array_equal(members[0, :256].numpy(), members.numpy()[0, :256])
