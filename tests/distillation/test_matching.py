"""Tokens of two vocabularies that stand for the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.vocabulary.vocabularies import PAIRS, vocabulary
from tokxfer.distillation.matching import Matching, matched_ids
from tokxfer.vocabulary import Kind, read_vocabulary


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_every_shared_byte_string_is_matched_once(student: str, teacher: str) -> None:
    mine, theirs = vocabulary(student), vocabulary(teacher)
    left, right = matched_ids(mine, theirs)
    assert len(set(left.tolist())) == len(set(right.tolist())) == len(left)
    assert (np.diff(left) > 0).all()
    equal = {
        mine.tokens[i]
        for i, j in zip(left, right, strict=True)
        if mine.tokens[i] == theirs.tokens[j] and mine.kinds[i] != Kind.SPECIAL
    }
    assert equal == mine.by_bytes.keys() & theirs.by_bytes.keys()


def test_spellings_do_not_matter(shared: Path) -> None:
    """Equal strings are 23 % of the smaller of these two vocabularies, equal bytes 57 %."""
    student, teacher = (read_vocabulary(shared / "tokenizers" / n) for n in ("llama2", "gpt2"))
    strings = set(student.names) & set(teacher.names)
    left, right = matched_ids(student, teacher)
    assert len(strings) < 0.25 * student.used
    assert len(left) > 0.55 * student.used
    assert {student.names[i] for i in left} & {"▁the"}
    assert teacher.names[right[left.tolist().index(student.names.index("▁the"))]] == "Ġthe"


def test_ends_of_text_are_matched_by_their_role(shared: Path) -> None:
    student, teacher = (read_vocabulary(shared / "tokenizers" / n) for n in ("llama2", "gpt2"))
    pairs = dict(zip(*matched_ids(student, teacher), strict=True))
    assert pairs[student.roles["eos"]] == teacher.roles["eos"]


def test_the_rest_is_every_other_row_of_either_head() -> None:
    found = Matching.of(np.array([1, 4]), np.array([0, 2]), 6, 4)
    assert found.student_rest.tolist() == [0, 2, 3, 5]
    assert found.teacher_rest.tolist() == [1, 3]
    assert found.share == 0.5


def test_pairs_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the 4 rows"):
        Matching.of(np.array([1, 4]), np.array([0, 2]), 4, 4)
    with pytest.raises(ValueError, match="in two pairs"):
        Matching.of(np.array([1, 2]), np.array([2, 2]), 4, 4)
