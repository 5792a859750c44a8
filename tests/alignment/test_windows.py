"""Windows hold whole chunks and fit both models; rows and batches hold whole windows."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.batches import AlignedBatch
from tokxfer.alignment.chunks import NONE
from tokxfer.alignment.pairing import Aligner, Pair
from tokxfer.alignment.windows import collate, cut, left_out, pack
from tokxfer.vocabulary import ByteVocabulary

VOCABULARIES = {name: ByteVocabulary.from_tokenizer(make()) for name, make in FAMILIES.items()}
BARE = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](specials=()))
BOTH = Aligner(VOCABULARIES["gemma"], VOCABULARIES["sentencepiece_bpe"])
HALF = Aligner(BARE, VOCABULARIES["sentencepiece_bpe"])  # the teacher has no begin token
LENGTHS = st.integers(2, 80)


@given(LENGTHS, LENGTHS)
@settings(max_examples=30)
def test_windows_fit_and_hold_the_text_in_order(teacher: int, student: int) -> None:
    pair = BOTH.align([TEXT])[0]
    windows = cut(pair, teacher, student)
    rest, tokens = pair.text, pair.teacher.ids.tolist()[1:]
    for window in windows:
        assert len(window.teacher.ids) <= teacher
        assert len(window.student.ids) <= student
        assert window.sizes.sum() == len(window.text)
        found = rest.find(window.text)
        assert found >= 0
        rest = rest[found + len(window.text) :]
        kept = window.teacher.ids.tolist()[1:]
        at = next(at for at in range(len(tokens)) if tokens[at : at + len(kept)] == kept)
        tokens = tokens[at + len(kept) :]
    if not left_out(pair, windows):
        assert b"".join(window.text for window in windows) == pair.text
        assert not tokens


@given(LENGTHS, LENGTHS)
@settings(max_examples=30)
def test_windows_begin_with_begin_tokens_and_all_their_text_is_a_target(
    teacher: int, student: int
) -> None:
    for window in cut(BOTH.align([TEXT])[0], teacher, student):
        for side, vocabulary in (
            (window.teacher, BOTH.teacher.vocabulary),
            (window.student, BOTH.student.vocabulary),
        ):
            assert side.ids[0] == vocabulary.roles["bos"]
            assert side.trained.tolist() == [False] + [True] * (len(side.ids) - 1)
            assert side.chunk[0] == NONE
            assert sorted(set(side.chunk[1:].tolist())) == list(range(len(window.sizes)))


def test_windows_go_as_far_as_both_sides_allow() -> None:
    pair = BOTH.align([TEXT])[0]
    windows = cut(pair, 40, 30)
    for window, following in pairwise(windows):
        sides = ((window.teacher, following.teacher, 40), (window.student, following.student, 30))
        assert (
            any(
                len(side.ids) + int((after.chunk == 0).sum()) > length
                for side, after, length in sides
            )
            or following.last[0] == NONE
        )


def test_a_side_whose_length_has_no_bound_does_not_cut() -> None:
    pair = BOTH.align([TEXT])[0]
    windows = cut(pair, sys.maxsize, 30)
    assert len(windows) == len(cut(pair, 10**6, 30)) > 5
    assert b"".join(window.text for window in windows) == pair.text


def test_only_the_last_window_ends_the_text() -> None:
    windows = cut(BOTH.align([TEXT])[0], 40, 30)
    end = BOTH.teacher.vocabulary.roles["eos"]
    assert [bool(window.teacher.ids[-1] == end) for window in windows] == [
        *[False] * (len(windows) - 1), True,
    ]  # fmt: skip
    assert [window.begins for window in windows] == [True, *[False] * (len(windows) - 1)]


def test_a_window_ends_within_a_character_only_if_it_must() -> None:
    pair = Aligner(VOCABULARIES["byte_level"], VOCABULARIES["byte_level_groups"]).align(
        ["漢字" * 9]
    )
    for window in cut(pair[0], 6, 6):
        window.text.decode()
    assert left_out(pair[0], cut(pair[0], 6, 6)) == 0
    assert b"".join(window.text for window in cut(pair[0], 3, 3)) == pair[0].text


def test_a_chunk_longer_than_a_window_is_left_out_and_counted() -> None:
    byte_level, pieces = VOCABULARIES["byte_level"], VOCABULARIES["gemma"]
    pair = Aligner(byte_level, pieces).align(["the dog \U0001f9ff sat down"])[0]
    most = max(np.bincount(pair.teacher.chunk[1:]).max(), np.bincount(pair.student.chunk[1:]).max())
    assert most > 2
    windows = cut(pair, int(most), int(most))
    assert left_out(pair, windows) == 1
    assert "\U0001f9ff".encode() not in b"".join(window.text for window in windows)


def test_without_a_begin_token_the_first_chunk_of_a_window_is_no_target() -> None:
    windows = cut(HALF.align([TEXT])[0], 30, 30)
    batch = collate([[window] for window in windows], 0, 0)
    for at, window in enumerate(windows):
        assert not window.teacher.trained[0]
        assert window.teacher.chunk[0] == 0
        assert batch.counts[at] == len(window.sizes) - 1
        assert batch.sizes[at, : batch.counts[at]].tolist() == window.sizes[1:].tolist()
        first = int((window.student.chunk == 0).sum())
        assert (batch.student.chunk[at, : 1 + first] == NONE).all()
        assert batch.student.trained[at, 1 : 1 + first].all()
        assert batch.student.chunk[at, 1 + first] == 0


def test_white_space_that_no_chunk_holds_stays_in_the_last_windows_text() -> None:
    pair = Aligner(VOCABULARIES["byte_level"], VOCABULARIES["word_piece"]).align(["the dog " * 9])
    windows = cut(pair[0], 8, 8)
    assert pair[0].sizes.sum() == len(pair[0].text) - 1
    assert b"".join(window.text for window in windows) == pair[0].text


def test_a_window_without_a_target_is_left_out() -> None:
    bare = Aligner(BARE, BARE)
    assert cut(bare.align(["\n"])[0], 8, 8) == []
    assert all(len(window.teacher.ids) > 1 for window in cut(bare.align([TEXT])[0], 2, 2))


@given(st.lists(st.sampled_from(TEXT.splitlines()), max_size=12), st.integers(60, 200))
@settings(max_examples=30)
def test_rows_hold_all_pairs_in_order(texts: list[str], length: int) -> None:
    pairs = [one for pair in BOTH.align(texts) for one in cut(pair, length, length)]
    rows = pack(pairs, length, length)
    assert [pair for row in rows for pair in row] == pairs
    for at, row in enumerate(rows):
        for side in ("teacher", "student"):
            assert sum(len(getattr(pair, side).ids) for pair in row) <= length
        for following in rows[at + 1 : at + 2]:
            assert any(
                sum(len(getattr(pair, side).ids) for pair in [*row, following[0]]) > length
                for side in ("teacher", "student")
            )


def test_a_pair_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a row"):
        pack(BOTH.align([TEXT]), 40, 40)


def slow_row(row: list[Pair], side: str) -> list[tuple[int, int, int, bool]]:
    """Id, document, chunk and target of every token of a row, by loops."""
    found, before = [], 0
    for document, pair in enumerate(row):
        numbers: dict[int, int] = {}
        for chunk in range(len(pair.sizes)):
            tokens = [
                bool(target)
                for one in (pair.teacher, pair.student)
                for here, target in zip(one.chunk, one.trained, strict=True)
                if here == chunk
            ]
            if all(tokens):
                numbers[chunk] = before + len(numbers)
        one = getattr(pair, side)
        for token, chunk, target in zip(one.ids, one.chunk, one.trained, strict=True):
            found.append((int(token), document, numbers.get(int(chunk), NONE), bool(target)))
        before += len(numbers)
    return found


def packed(aligner: Aligner) -> list[list[Pair]]:
    pairs = [one for pair in aligner.align([*TEXT.splitlines(), ""]) for one in cut(pair, 30, 40)]
    return pack(pairs, 60, 80)


@pytest.mark.parametrize("aligner", [BOTH, HALF], ids=["both", "half"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_batches_are_those_of_a_loop(aligner: Aligner, side: str) -> None:
    rows = packed(aligner)
    assert max(map(len, rows)) > 2
    batch = collate(rows, 7, 8, side)
    for name, pad in (("teacher", 7), ("student", 8)):
        found = getattr(batch, name)
        width = found.ids.shape[1]
        for at, row in enumerate(rows):
            expected = slow_row(row, name)
            here = slice(width - len(expected), width) if side == "left" else slice(len(expected))
            columns = (found.ids, found.document, found.chunk, found.trained)
            values = [column[at, here].tolist() for column in columns]
            assert list(zip(*values, strict=True)) == expected
            outside = np.ones(width, dtype=bool)
            outside[here] = False
            assert (found.ids[at, outside] == pad).all()
            assert (found.document[at, outside] == -1).all()
            assert (found.chunk[at, outside] == NONE).all()
            assert not found.trained[at, outside].any()
            for chunk in range(found.final.shape[1]):
                places = np.flatnonzero(found.chunk[at] == chunk)
                assert found.final[at, chunk] == (places[-1] if len(places) else 0)


def shifted(batch: AlignedBatch, side: str, at: int) -> list[list[int]]:
    """A row of a batch without its padding."""
    found = getattr(batch, side)
    real = found.document[at] >= 0
    return [column[at, real].tolist() for column in (found.ids, found.chunk, found.trained)]


def test_left_padding_shifts_masks_with_their_tokens() -> None:
    rows = packed(BOTH)
    right, left = collate(rows, 0, 0, "right"), collate(rows, 0, 0, "left")
    assert (left.student.document[:, -1] >= 0).all()
    assert (left.student.document[:, 0] == -1).any()
    for at in range(len(rows)):
        for side in ("teacher", "student"):
            assert shifted(left, side, at) == shifted(right, side, at)
    for side in ("teacher", "student"):
        for batch in (left, right):
            found = getattr(batch, side)
            for at, count in enumerate(batch.counts.tolist()):
                ends = found.final[at, :count]
                assert found.chunk[at, ends].tolist() == list(range(count))
    assert left.sizes.tolist() == right.sizes.tolist()


def test_chunk_ids_of_a_row_run_on_over_its_documents() -> None:
    rows = packed(BOTH)
    batch = collate(rows, 0, 0)
    for at, row in enumerate(rows):
        assert batch.counts[at] == sum(len(pair.sizes) for pair in row)
        expected = np.concatenate([pair.sizes for pair in row])
        assert batch.sizes[at, : batch.counts[at]].tolist() == expected.tolist()
        assert [text.data for text in batch.texts[at]] == [pair.text for pair in row]
        assert [text.begins for text in batch.texts[at]] == [pair.begins for pair in row]
        for side in (batch.teacher, batch.student):
            chunk = side.chunk[at][side.chunk[at] != NONE]
            assert sorted(set(chunk.tolist())) == list(range(batch.counts[at]))


def test_a_batch_without_chunks_has_none() -> None:
    batch = collate([[HALF.align(["x"], add_ends=False)[0]]], 0, 0)
    assert batch.counts.tolist() == [0]
    assert batch.sizes.shape == batch.teacher.final.shape == (1, 0)
    with pytest.raises(ValueError, match="right or left"):
        collate([], 0, 0, "both")
