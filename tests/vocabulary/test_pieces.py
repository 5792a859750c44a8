"""A vocabulary's own segmentation of bytes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vocabulary.vocabularies import (
    NAMES,
    PAIRS,
    added,
    content_of,
    small_bpe,
    vocabulary,
    write,
)
from tokxfer.vocabulary import ByteVocabulary, Kind, read_vocabulary

CUT_TEXT = st.tuples(st.text(min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 3)).map(
    lambda cut: cut[0].encode()[cut[1] : len(cut[0].encode()) - cut[2]]
)


def can_spell(known: ByteVocabulary, spelled: bytes) -> bool:
    """Whether some sequence of tokens has these bytes: the obvious search."""

    @cache
    def rest(start: int) -> bool:
        if start == len(spelled):
            return True
        return any(
            known.ids_of(spelled[start:end]) and rest(end)
            for end in range(start + 1, len(spelled) + 1)
        )

    return bool(spelled) and rest(0)


def check(known: ByteVocabulary, spelled: bytes) -> None:
    pieces = known.pieces(spelled)
    assert all(known.kinds[piece] not in (Kind.SPECIAL, Kind.UNUSED) for piece in pieces)
    assert b"".join(known.tokens[piece] for piece in pieces) == (spelled if pieces else b"")
    assert bool(pieces) == can_spell(known, spelled)


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_pieces_spell_every_token_of_every_family_that_can_be_spelled(
    name: str, other: str
) -> None:
    known = vocabulary(name)
    for spelled in set(vocabulary(other).tokens):
        check(known, spelled)


@pytest.mark.parametrize("name", NAMES)
@given(spelled=st.binary(max_size=12) | st.text(max_size=8).map(str.encode) | CUT_TEXT)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_pieces_spell_any_bytes_that_can_be_spelled(name: str, spelled: bytes) -> None:
    check(vocabulary(name), spelled)


@pytest.mark.parametrize("name", ["byte_level", "byte_level_groups", "sentencepiece_bpe", "gemma"])
def test_families_with_every_byte_spell_everything(name: str) -> None:
    assert all(vocabulary(name).pieces(bytes([byte, 255 - byte])) for byte in range(256))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", ["there", "girl", "going", "village", "grandmother", "xylophone"])
def test_a_words_pieces_are_those_in_the_middle_of_a_text(name: str, word: str) -> None:
    known = vocabulary(name)
    before, text = known.encode("the dog"), known.encode(f"the dog {word} sat")
    pieces = known.pieces(f" {word}".encode())
    assert text[len(before) : len(before) + len(pieces)] == pieces


@pytest.mark.parametrize("name", NAMES)
def test_bytes_inside_a_word_get_no_dummy_prefix(name: str) -> None:
    known = vocabulary(name)
    pieces = known.pieces(b"ing")
    assert pieces
    assert not known.tokens[pieces[0]].startswith(b" ")


def test_a_prefix_space_of_the_byte_level_step_is_left_out(tmp_path: Path) -> None:
    content = content_of("byte_level")
    content["pre_tokenizer"]["add_prefix_space"] = True
    known = read_vocabulary(write(tmp_path, content))
    assert known.encode("the") == known.encode(" the")
    assert [known.tokens[piece] for piece in known.pieces(b"the")] != [b" the"]
    assert known.pieces(b" the") == known.encode(" the")


def test_splits_of_the_pre_tokenizer_are_kept() -> None:
    known = vocabulary("byte_level_groups")
    lengths = [len(known.tokens[piece]) for piece in known.pieces(b"100100")]
    bounds = {sum(lengths[:place]) for place in range(len(lengths))}
    assert 3 in bounds


def test_a_step_that_drops_white_space_does_not_lose_the_words_start(tmp_path: Path) -> None:
    content = content_of("unigram")
    steps = [{"type": "WhitespaceSplit"}, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    known = read_vocabulary(write(tmp_path, content))
    assert known.pieces(b" the") == vocabulary("unigram").pieces(b" the") == known.encode("the")


def test_a_split_that_removes_what_it_splits_at_keeps_it(tmp_path: Path) -> None:
    content = content_of("sentencepiece_bpe")
    pattern = {"pattern": {"String": "g"}, "behavior": "Removed", "invert": False}
    content["pre_tokenizer"] = {"type": "Split", **pattern}
    known = read_vocabulary(write(tmp_path, content))
    assert known.normalizes
    assert "g" in [known.names[piece] for piece in known.pieces(b"dog")]


def test_incomplete_utf8_goes_through_byte_tokens() -> None:
    known = vocabulary("sentencepiece_bpe")
    names = [known.names[piece] for piece in known.pieces(b" the\xe4\xb8and")]
    assert names == ["▁the", "<0xE4>", "<0xB8>", *[n for n in names[3:] if n[0] != "<"]]


def test_incomplete_utf8_of_a_byte_level_token_is_merged() -> None:
    known = vocabulary("byte_level")
    start_of_an_emoji = b" \xf0\x9f"
    assert known.pieces(start_of_an_emoji) == list(known.ids_of(start_of_an_emoji))
    assert known.pieces(b"the" + start_of_an_emoji) == [
        *known.pieces(b"the"),
        *known.ids_of(start_of_an_emoji),
    ]


def test_incomplete_utf8_without_any_pre_tokenizer_is_spelled(tmp_path: Path) -> None:
    content = content_of("byte_level") | {"pre_tokenizer": None}
    known = read_vocabulary(write(tmp_path, content))
    pieces = known.pieces(b"a\xff")
    assert b"".join(known.tokens[piece] for piece in pieces) == b"a\xff"


def test_what_cannot_be_spelled_has_no_pieces() -> None:
    assert vocabulary("unigram").pieces("漢".encode()) == []
    assert vocabulary("unigram").pieces(b"\xff") == []
    assert vocabulary("byte_level").pieces(b"") == []


def test_the_text_of_a_special_token_is_not_that_token() -> None:
    known = vocabulary("sentencepiece_bpe")
    assert known.roles["eos"] not in known.pieces(b"</s>")


def test_the_longest_first_piece_is_given_up_where_the_rest_cannot_be_spelled(
    tmp_path: Path,
) -> None:
    content = content_of("word_piece")
    content["model"]["vocab"] = {"[UNK]": 0, "ab": 1, "a": 2, "##bc": 3}
    content |= {"added_tokens": [], "post_processor": None}
    known = read_vocabulary(write(tmp_path, content))
    assert known.pieces(b" abc") == [2, 3]


def test_added_tokens_are_pieces_under_their_own_ids(tmp_path: Path) -> None:
    entries = [added("<|end|>", 3, special=True), added("    ", 4, special=False)]
    content = small_bpe({"a": 0, "b": 1, "Ġ": 2}, added_tokens=entries)
    known = read_vocabulary(write(tmp_path, content))
    assert known.pieces(b"a    b") == [0, 4, 1]


def read(known: ByteVocabulary, text: str) -> list[str]:
    return [known.names[piece] for piece in known.readings([text.encode()])[0]]


def uncased(tmp_path: Path) -> ByteVocabulary:
    """BERT's kind of WordPiece over a few words."""
    names = [
        "[UNK]",
        "the",
        "don",
        "t",
        ".",
        "'",
        "cafe",
        "ing",
        "中",
        "##ing",
        "##t",
        "##.",
        "##'",
    ]
    content = content_of("word_piece") | {"added_tokens": [], "post_processor": None}
    content["model"]["vocab"] = {name: place for place, name in enumerate(names)}
    return read_vocabulary(write(tmp_path, content))


@pytest.mark.parametrize(
    ("token", "names"),
    [
        (" The", ["the"]),
        (" Café", ["cafe"]),
        ("ING", ["##ing"]),
        (" don't", ["don", "'", "t"]),
        (".", ["."]),
        ("...", [".", ".", "."]),
        ("ing.", ["##ing", "."]),
        ("中t", ["中", "t"]),
        (" xyz", []),
        ("\n", []),
    ],
)
def test_an_uncased_word_piece_vocabulary_reads_what_it_would_in_a_text(
    tmp_path: Path, token: str, names: list[str]
) -> None:
    known = uncased(tmp_path)
    assert read(known, token) == names
    inside = known.encode(f"don{token}")[1:] if token[0].isalpha() and token.isascii() else None
    assert inside is None or [known.names[piece] for piece in inside] == names


def test_bytes_that_are_no_text_are_read_as_nothing_by_words(tmp_path: Path) -> None:
    assert uncased(tmp_path).readings([b"\xe2\x80", b""]) == [[], []]


@pytest.mark.parametrize("name", ["byte_level", "sentencepiece_bpe", "gemma"])
def test_a_vocabulary_that_changes_no_text_reads_its_pieces(name: str) -> None:
    known, other = vocabulary(name), vocabulary("unigram")
    assert known.readings(other.tokens) == known.pieces_batch(other.tokens)


def test_a_normalizer_is_applied_before_pieces_are_sought(tmp_path: Path) -> None:
    content = content_of("unigram")
    steps = [
        {"type": "NFKC"},
        {"type": "Lowercase"},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    known = read_vocabulary(write(tmp_path, content))
    assert read(known, " THE") == [known.names[i] for i in known.encode("the")] == ["▁the"]
    assert known.readings(["ﬁ".encode()])[0] == known.pieces(b"fi")


def test_many_tokens_have_the_pieces_of_each() -> None:
    known, other = vocabulary("gemma"), vocabulary("byte_level")
    assert known.pieces_batch(other.tokens) == [known.pieces(token) for token in other.tokens]
