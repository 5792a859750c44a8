"""Figures of an alignment count what is there, and see what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.chunks import Chunks, chunks_of
from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.places import Placer
from tokxfer.alignment.report import Reader, alignment_figures
from tokxfer.vocabulary import ByteVocabulary

VOCABULARIES = {name: ByteVocabulary.from_tokenizer(make()) for name, make in FAMILIES.items()}


def aligner(left: str, right: str) -> Aligner:
    return Aligner(VOCABULARIES[left], VOCABULARIES[right])


@pytest.mark.parametrize("left", FAMILIES)
@pytest.mark.parametrize("right", FAMILIES)
def test_families_line_up_on_their_text(left: str, right: str) -> None:
    found = alignment_figures(aligner(left, right), TEXT.splitlines())
    assert (found.recall, found.unequal) == (1.0, 0)
    assert found.bytes == sum(len(line.encode()) for line in TEXT.splitlines())
    assert found.chunks == sum(found.sizes.values())
    for side, name in (("teacher", left), ("student", right)):
        assert sum(found.lengths[side].values()) == found.chunks
        tokens = sum(len(VOCABULARIES[name].encode(line)) for line in TEXT.splitlines())
        assert found.tokens[side] == tokens
        assert found.shared[side] == found.chunks / tokens


def test_histograms_are_of_bytes_and_of_tokens() -> None:
    letters = Aligner(*[ByteVocabulary.from_tokenizer(FAMILIES["byte_level"](vocab_size=300))] * 2)
    words = ["a", "ab" * 12]
    found = alignment_figures(letters, words)
    assert found.sizes == {1: found.chunks}
    assert found.lengths["teacher"] == {1: found.chunks}
    assert found.to_dict()["sizes"] == {"1": 25}
    whole = alignment_figures(aligner("word_piece", "unigram"), ["ω" * 30])
    assert whole.to_dict()["sizes"] == {"17+": 1}
    assert whole.unknown == 1
    json.dumps(whole.to_dict())


def moved(*told: Any) -> Chunks:
    """Chunks whose right side is a token late."""
    found = chunks_of(*told)
    right = found.right.copy()
    right[1:] = found.right[:-1]
    return Chunks(found.left, right, found.ends, found.sizes, found.first)


def test_chunks_of_other_text_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokxfer.alignment.pairing.chunks_of", moved)
    found = alignment_figures(aligner("byte_level", "gemma"), ["one two"])
    assert found.unequal > 0
    first = found.examples[0]
    assert first.teacher == first.text
    assert first.student != first.text


def test_only_a_texts_first_chunk_may_have_a_space_more() -> None:
    reader = Reader(Placer(VOCABULARIES["sentencepiece_bpe"]))
    assert reader.equal(b" dog", b"dog", True)
    assert not reader.equal(b" dog", b"dog", False)
    assert not reader.equal(b"dog", b" dog", True)


def test_boundaries_that_are_missed_lower_the_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one two three four"
    whole = alignment_figures(aligner("byte_level", "gemma"), [text])
    monkeypatch.setattr(
        "tokxfer.alignment.pairing.chunks_of",
        lambda left, right, starts: chunks_of(left, right * (right == len(text)), starts),
    )
    found = alignment_figures(aligner("byte_level", "gemma"), [text])
    assert found.recall == pytest.approx(1 / whole.chunks)


def test_nothing_lines_up_with_nothing() -> None:
    found = alignment_figures(aligner("gemma", "unigram"), ["", " "])
    assert found.recall == 1.0
    assert alignment_figures(aligner("gemma", "unigram"), []).chunks == 0
    lost = alignment_figures(aligner("word_piece", "unigram"), ["\u200d"])
    assert (lost.tokens["teacher"], lost.chunks) == (0, 0)
