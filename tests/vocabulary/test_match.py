"""Two vocabularies lined up."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families import byte_level, gemma, sentencepiece_bpe
from tests.vocabulary.vocabularies import (
    NAMES,
    PAIRS,
    added,
    content_of,
    small_bpe,
    vocabulary,
    write,
)
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Kind, MatchKind, match, read_vocabulary, twins_of

ORDINARY = (Kind.NORMAL, Kind.BYTE, Kind.ADDED)


@pytest.mark.parametrize(
    ("base", "donor", "count"),
    [
        ("llama2", "gpt2", 18_207),
        ("mistral", "cl100k", 26_777),
        ("gpt2", "cl100k", 43_066),
        ("xlmr-unigram-de-50k", "llama2", 7_886),
        ("llama2", "mistral", 24_085),
    ],
)
def test_shared_byte_strings_of_real_tokenizers(
    shared: Path, base: str, donor: str, count: int
) -> None:
    first, second = (read_vocabulary(shared / "tokenizers" / name) for name in (base, donor))
    matched, mirrored = match(first, second), match(second, first)
    assert matched.shared == mirrored.shared == count
    for found, one, other in ((matched, first, second), (mirrored, second, first)):
        by_bytes = np.flatnonzero(found.how == MatchKind.BYTES)
        assert all(one.tokens[found.base_ids[i]] == other.tokens[i] for i in by_bytes)
        assert len({other.tokens[i] for i in by_bytes}) == count


@pytest.mark.parametrize(("base", "donor"), PAIRS)
def test_a_match_is_what_comparing_all_bytes_finds(base: str, donor: str) -> None:
    one, other = vocabulary(base), vocabulary(donor)
    matched = match(one, other)
    known = {one.tokens[i] for i in range(one.size) if one.kinds[i] in ORDINARY}

    def is_mark(token: int) -> bool:
        """Whether BERT makes a word of this text wherever it stands, and this vocabulary has it."""
        text = other.tokens[token].decode(errors="replace")
        alone = len(text) == 1 and (
            unicodedata.category(text)[0] == "P"
            or unicodedata.name(text, "").startswith("CJK UNIFIED")
            or text in "$+<=>^`|~"
        )
        return alone and base == "word_piece" and f" {text}".encode() in known

    wanted = {other.tokens[i] for i in range(other.size) if other.kinds[i] in ORDINARY}
    assert matched.shared == len(known & wanted)
    assert matched.coverage == len(known & wanted) / len(wanted)
    for token in range(other.size):
        if other.kinds[token] in ORDINARY and is_mark(token):
            assert matched.how[token] == MatchKind.BYTES
            expected = other.tokens[token] if base == donor else b" " + other.tokens[token]
            assert one.tokens[matched.base_ids[token]] == expected
        elif other.kinds[token] in ORDINARY and other.tokens[token] in known:
            assert matched.how[token] == MatchKind.BYTES
            assert one.tokens[matched.base_ids[token]] == other.tokens[token]
            assert one.kinds[matched.base_ids[token]] in ORDINARY
        elif other.kinds[token] == Kind.SPECIAL:
            assert matched.how[token] in (MatchKind.ROLE, MatchKind.NONE)
            assert (matched.base_ids[token] >= 0) == (matched.how[token] == MatchKind.ROLE)
        else:
            assert (matched.base_ids[token], matched.how[token]) == (-1, MatchKind.NONE)


@pytest.mark.parametrize("name", NAMES)
def test_a_vocabulary_is_matched_with_itself_id_by_id(name: str) -> None:
    matched = match(vocabulary(name), vocabulary(name))
    assert matched.base_ids.tolist() == list(range(vocabulary(name).size))
    assert matched.output_ids.tolist() == matched.base_ids.tolist()
    assert matched.coverage == 1
    assert not matched.digits_differ


def test_gaps_are_matched_with_the_same_gaps_only(tmp_path: Path) -> None:
    gappy = read_vocabulary(write(tmp_path / "a", small_bpe({"a": 0, "b": 5})))
    other = read_vocabulary(write(tmp_path / "b", small_bpe({"a": 0, "b": 2, "c": 4})))
    assert match(gappy, gappy).base_ids.tolist() == [0, 1, 2, 3, 4, 5]
    matched = match(gappy, other)
    assert matched.base_ids.tolist() == [0, 1, 5, 3, -1]
    assert matched.how.tolist() == [
        MatchKind.BYTES, MatchKind.UNUSED, MatchKind.BYTES, MatchKind.UNUSED, MatchKind.NONE,
    ]  # fmt: skip


def test_of_two_ids_with_the_same_bytes_each_takes_its_own_kind() -> None:
    base = ByteVocabulary.from_tokenizer(sentencepiece_bpe(vocab_size=500))
    donor = vocabulary("sentencepiece_bpe")
    matched = match(base, donor)
    for name in ("e", "<0x65>"):
        taken = matched.base_ids[donor.names.index(name)]
        assert base.names[taken] == name


def test_a_character_takes_the_id_that_text_becomes() -> None:
    base, donor = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    matched = match(base, donor)
    assert base.names[matched.base_ids[donor.names.index("e")]] == "e"
    assert base.names[matched.base_ids[donor.names.index("Ā")]] == "<0x00>"


def test_a_byte_of_a_character_is_not_the_character(tmp_path: Path) -> None:
    base = read_vocabulary(
        write(tmp_path, small_bpe({"Ã": 0, "a": 1}, pre_tokenizer=None, decoder=None))
    )
    donor = vocabulary("byte_level")
    assert base.tokens[0] == "Ã".encode()
    assert match(base, donor).base_ids[donor.names.index("Ã")] == -1


def counterparts(base: ByteVocabulary, donor: ByteVocabulary) -> dict[str, tuple[str, str | None]]:
    return {role.role: (role.donor_token, role.base_token) for role in match(base, donor).roles}


def test_special_tokens_are_matched_by_role() -> None:
    assert counterparts(vocabulary("sentencepiece_bpe"), vocabulary("gemma")) == {
        "bos": ("<bos>", "<s>"),
        "eos": ("<eos>", "</s>"),
        "unk": ("<unk>", "<unk>"),
        "pad": ("<pad>", None),
        "chat:<start_of_turn>": ("<start_of_turn>", None),
        "chat:<end_of_turn>": ("<end_of_turn>", None),
    }


def test_cls_and_sep_stand_in_for_begin_and_end() -> None:
    found = counterparts(vocabulary("sentencepiece_bpe"), vocabulary("word_piece"))
    assert (found["cls"][1], found["sep"][1]) == ("<s>", "</s>")


def test_one_token_that_begins_and_ends_takes_one_row_in_and_another_out() -> None:
    base, donor = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    matched = match(base, donor)
    both = donor.roles["eos"]
    assert base.names[matched.base_ids[both]] == "<s>"
    assert base.names[matched.output_ids[both]] == "</s>"
    assert counterparts(base, donor)["eos"] == ("<|endoftext|>", "</s>")
    others = np.arange(donor.size) != both
    assert np.array_equal(matched.base_ids[others], matched.output_ids[others])


def test_begin_and_end_both_take_the_row_of_a_token_with_both_roles() -> None:
    assert counterparts(vocabulary("byte_level"), vocabulary("sentencepiece_bpe")) == {
        "bos": ("<s>", "<|endoftext|>"),
        "eos": ("</s>", "<|endoftext|>"),
        "unk": ("<unk>", None),
    }


def with_added(folder: Path, entries: list[tuple[str, bool]], **files: Any) -> ByteVocabulary:
    places = [added(name, 2 + at, special=special) for at, (name, special) in enumerate(entries)]
    return read_vocabulary(write(folder, small_bpe({"x": 0, "Ġ": 1}, added_tokens=places), **files))


def test_markers_are_matched_by_their_text(tmp_path: Path) -> None:
    base = with_added(tmp_path / "a", [("<|im_end|>", True), ("<m>", True)])
    donor = with_added(tmp_path / "b", [("<m>", True), ("<n>", True), ("<|im_end|>", True)])
    matched = match(base, donor)
    assert matched.base_ids.tolist() == [0, 1, 3, -1, 2]
    assert matched.how.tolist()[2:] == [MatchKind.ROLE, MatchKind.NONE, MatchKind.ROLE]


@pytest.mark.parametrize(("one", "other"), [(True, False), (False, True)])
def test_a_marker_may_be_special_in_one_and_merely_added_in_the_other(
    tmp_path: Path, one: bool, other: bool
) -> None:
    base = with_added(tmp_path / "a", [("<think>", one)])
    donor = with_added(tmp_path / "b", [("<think>", other)])
    matched = match(base, donor)
    assert (matched.base_ids[2], matched.how[2]) == (2, MatchKind.ROLE)
    assert matched.shared == 2


def test_a_role_counts_before_the_same_text(tmp_path: Path) -> None:
    names = [("</s>", True), ("<|im_end|>", True)]
    base = with_added(tmp_path / "a", names, tokenizer_config={"eos_token": "<|im_end|>"})
    donor = with_added(tmp_path / "b", names[:1])
    assert base.names[match(base, donor).base_ids[2]] == "<|im_end|>"


def test_the_same_text_counts_where_the_role_has_no_counterpart(tmp_path: Path) -> None:
    base = with_added(tmp_path / "a", [("<|endoftext|>", True)])
    settings = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    names = [("<|endoftext|>", True), ("<|im_end|>", True)]
    donor = with_added(tmp_path / "b", names, tokenizer_config=settings)
    assert match(base, donor).base_ids.tolist() == [0, 1, 2, 2]


def test_among_equal_roles_the_same_text_is_taken(tmp_path: Path) -> None:
    names = [("<a>", True), ("<b>", True)]
    settings = {"bos_token": "<a>", "eos_token": "<b>", "pad_token": "<b>"}
    known = with_added(tmp_path, names, tokenizer_config=settings)
    assert match(known, known).base_ids.tolist() == [0, 1, 2, 3]


def test_an_ordinary_token_in_a_role_lends_its_row_to_no_special_token(tmp_path: Path) -> None:
    base = with_added(tmp_path / "a", [], tokenizer_config={"pad_token": "x"})
    donor = with_added(tmp_path / "b", [("<pad>", True)])
    assert match(base, donor).base_ids.tolist() == [0, 1, -1]


def test_an_ordinary_donor_token_in_a_role_is_matched_by_bytes(tmp_path: Path) -> None:
    donor = with_added(tmp_path, [], tokenizer_config={"pad_token": "x"})
    matched = match(vocabulary("byte_level"), donor)
    assert matched.how.tolist() == [MatchKind.BYTES, MatchKind.BYTES]
    assert matched.roles[0].base_token == "x"


def test_added_tokens_with_the_same_name_and_other_bytes_are_apart(tmp_path: Path) -> None:
    tokenizer = gemma()
    tokenizer.add_tokens(["▁▁▁▁"])
    base = with_added(tmp_path, [("▁▁▁▁", True)])
    donor = ByteVocabulary.from_tokenizer(tokenizer)
    assert donor.tokens[-1] == b"    "
    assert match(base, donor).base_ids[-1] == -1


def test_different_cuts_of_digits_are_reported() -> None:
    assert match(vocabulary("gemma"), vocabulary("byte_level")).digits_differ
    assert not match(vocabulary("gemma"), vocabulary("sentencepiece_bpe")).digits_differ


def test_nothing_shared_is_no_failure(tmp_path: Path) -> None:
    base = read_vocabulary(write(tmp_path / "a", small_bpe({"a": 0})))
    donor = read_vocabulary(write(tmp_path / "b", small_bpe({"b": 0})))
    matched = match(base, donor)
    assert (matched.shared, matched.coverage) == (0, 0.0)


def test_a_donor_without_text_has_no_coverage(tmp_path: Path) -> None:
    content = small_bpe({}, added_tokens=[added("<s>", 0, special=True)])
    assert match(vocabulary("gemma"), read_vocabulary(write(tmp_path, content))).coverage == 0.0


def test_a_match_cannot_be_changed() -> None:
    matched = match(vocabulary("gemma"), vocabulary("gemma"))
    with pytest.raises(ValueError, match="read-only"):
        matched.base_ids[0] = 1


def test_a_permuted_vocabulary_is_matched_by_its_permutation(tmp_path: Path) -> None:
    import json

    content = json.loads(byte_level().to_str())
    vocab = content["model"]["vocab"]
    order = np.random.default_rng(0).permutation(len(vocab))
    content["model"]["vocab"] = {name: int(order[token]) for name, token in vocab.items()}
    for entry in content["added_tokens"]:
        entry["id"] = int(order[entry["id"]])
    permuted = read_vocabulary(write(tmp_path, content))
    matched = match(vocabulary("byte_level"), permuted)
    assert np.array_equal(matched.base_ids[order], np.arange(len(vocab)))


def test_twins_share_a_row_or_leave_it_to_the_one_that_text_becomes() -> None:
    base, donor = vocabulary("byte_level"), vocabulary("gemma")
    copied, left = match(base, donor), match(base, donor, twins="mean")
    twins = twins_of(donor, copied.base_ids)
    assert donor.ids_of(b"e")[1:] == (donor.names.index("<0x65>"),)
    assert donor.names.index("<0x65>") in twins
    for token in twins:
        first = donor.ids_of(donor.tokens[token])[0]
        assert copied.base_ids[token] == copied.base_ids[first] == left.base_ids[first] >= 0
        assert left.base_ids[token] == left.output_ids[token] == -1
        assert left.how[token] == MatchKind.TWIN
    others = np.setdiff1d(np.arange(donor.size), twins)
    assert np.array_equal(left.base_ids[others], copied.base_ids[others])
    assert not twins_of(donor, left.base_ids)
    assert (copied.shared, copied.coverage) == (left.shared, left.coverage)


def test_twins_that_the_base_has_too_keep_their_rows() -> None:
    base = donor = vocabulary("gemma")
    assert not twins_of(donor, match(base, donor).base_ids)
    assert np.array_equal(match(base, donor, twins="mean").base_ids, np.arange(donor.size))


def test_other_ways_with_twins_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be"):
        match(vocabulary("gemma"), vocabulary("gemma"), twins="drop")


def test_a_mark_takes_the_row_of_the_word_that_bert_makes_of_it_not_that_of_a_words_inside(
    tmp_path: Path,
) -> None:
    names = ["[UNK]", ".", "##.", "中", "##中", "a", "##a"]
    content = content_of("word_piece") | {"added_tokens": [], "post_processor": None}
    content["model"]["vocab"] = {name: place for place, name in enumerate(names)}
    base = read_vocabulary(write(tmp_path / "base", content))
    assert base.standing == {b".": 1, "中".encode(): 3}
    donor = {".": 0, "Ġ.": 1, "ä¸Ń": 2, "a": 3, "Ġa": 4}
    donor_vocabulary = read_vocabulary(write(tmp_path / "donor", small_bpe(donor)))
    assert match(base, donor_vocabulary).base_ids.tolist() == [1, 1, 3, 6, 5]
    assert match(base, base).base_ids.tolist()[1:] == [1, 2, 3, 4, 5, 6]


def test_only_word_piece_vocabularies_have_marks_that_stand_alone() -> None:
    assert all(not vocabulary(name).standing for name in NAMES if name != "word_piece")
