"""Ends of tokens in the bytes of the text, for every family."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.places import Placer, behind_gap, byte_places, clusters
from tokxfer.vocabulary import ByteVocabulary

LINES = [
    *TEXT.splitlines(),
    TEXT,
    "",
    " ",
    "  a  b ",
    "\n\n",
    "a" * 40,
    "½ ﬁ e\u0301 x",
    "漢字 かな",
]
PLACERS = {name: Placer(ByteVocabulary.from_tokenizer(make())) for name, make in FAMILIES.items()}
FAITHFUL = [name for name, placer in PLACERS.items() if not placer.vocabulary.normalizes]
CHANGING = [name for name in PLACERS if name not in FAITHFUL]


def slow_ends(placer: Placer, text: str) -> list[int]:
    """Ends from the tokens' bytes alone, one after another."""
    ids = placer.vocabulary.encode(text)
    sizes = [len(placer._spelled[token]) for token in ids]
    behind = sum(sizes) - len(text.encode())
    return [max(0, sum(sizes[: at + 1]) - behind) if sizes[at] else 0 for at in range(len(ids))]


@pytest.mark.parametrize("family", FAITHFUL)
def test_tokens_that_spell_the_text_say_where_they_end(family: str) -> None:
    placer = PLACERS[family]
    places = placer.place(LINES)
    for at, text in enumerate(LINES):
        ids = placer.vocabulary.encode(text)
        assert places.ids[at, : len(ids)].tolist() == ids
        assert (places.ids[at, len(ids) :] == -1).all()
        if places.told[at]:
            assert places.ends[at, : len(ids)].tolist() == slow_ends(placer, text)
            assert places.ends[at].max(initial=0) == len(text.encode())
    assert places.told.mean() > 0.8


@pytest.mark.parametrize("family", FAITHFUL)
def test_offsets_say_the_same(family: str) -> None:
    placer = PLACERS[family]
    for text in LINES:
        places = placer.place([text])
        row = placer.vocabulary.encode(text)
        found = placer._by_offsets(text, row, None)
        told = places.ends[0]
        if places.told[0]:
            known = found > 0
            assert np.array_equal(found[known], told[known])
            assert known.sum() >= 0.9 * (told > 0).sum()


@pytest.mark.parametrize("family", CHANGING)
def test_ends_rise_and_lie_in_the_text_where_it_is_changed(family: str) -> None:
    placer = PLACERS[family]
    texts = [*LINES, *(unicodedata.normalize("NFD", line) for line in LINES)]
    places = placer.place(texts)
    for at, text in enumerate(texts):
        ends = np.abs(places.ends[at])
        ends = ends[ends > 0]
        assert (np.diff(ends) >= 0).all()
        assert ends.max(initial=0) <= len(text.encode())


@given(st.text(max_size=20))
def test_byte_places_are_those_of_the_encoding(text: str) -> None:
    expected = [len(text[:at].encode()) for at in range(len(text) + 1)]
    assert byte_places(text).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=8))
def test_clusters_hold_what_overlaps(spans: list[tuple[int, int]]) -> None:
    spans = sorted((start, start + size) for start, size in spans)
    first, last, start, stop = clusters(*np.array(spans).T)
    assert first[0] == 0
    assert last[-1] == len(spans)
    assert first[1:].tolist() == last[:-1].tolist()
    for a, b, low, high in zip(first, last, start, stop, strict=True):
        assert low == min(span[0] for span in spans[a:b])
        assert high == max(span[1] for span in spans[:b])
    assert (start[1:] >= stop[:-1]).all()


def test_gaps_up_to_a_space_belong_to_the_token_before() -> None:
    assert behind_gap("e\u0301 x", 1, 3) == 2
    assert behind_gap("a  b", 1, 3) == 1
    assert behind_gap("abc", 1, 3) == 3
