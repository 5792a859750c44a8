"""Ends of tokens in the bytes of the text, for every family."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.families import FAMILIES, TEXT
from tokxfer.alignment.places import Placer, behind_gap, byte_places, clusters
from tokxfer.vocabulary import ByteVocabulary, Kind

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
    ids = ids_of(placer, text)
    sizes = [len(placer._spelled[token]) for token in ids]
    behind = sum(sizes) - len(text.encode())
    ends = [sum(sizes[: at + 1]) - behind for at in range(len(ids))]
    return [-ends[1], *ends[1:]] if ends[:1] == [0] else ends


def ids_of(placer: Placer, text: str) -> list[int]:
    return list(placer.encode([text])[0].ids)


@pytest.mark.parametrize("family", FAITHFUL)
def test_tokens_that_spell_the_text_say_where_they_end(family: str) -> None:
    placer = PLACERS[family]
    places = placer.place(LINES)
    start = 0
    for at, text in enumerate(LINES):
        here = slice(places.first[at], places.first[at + 1])
        assert places.ids[here].tolist() == ids_of(placer, text)
        if places.told[at]:
            ends = [end + (start if end > 0 else -start) for end in slow_ends(placer, text)]
            assert places.ends[here].tolist() == ends
        start += len(text.encode())
    assert places.told.mean() > 0.8


@pytest.mark.parametrize("family", FAITHFUL)
def test_offsets_say_the_same(family: str) -> None:
    placer = PLACERS[family]
    for text in LINES:
        places = placer.place([text])
        found = placer.by_offsets(text, placer.encode([text])[0])
        if places.told[0]:
            known = found > 0
            assert np.array_equal(found[known], places.ends[known])
            assert known.sum() >= 0.9 * (places.ends > 0).sum()


@pytest.mark.parametrize("family", CHANGING)
def test_ends_rise_and_lie_in_the_text_where_it_is_changed(family: str) -> None:
    placer = PLACERS[family]
    texts = [*LINES, *(unicodedata.normalize("NFD", line) for line in LINES)]
    places = placer.place(texts)
    start = 0
    for at, text in enumerate(texts):
        ends = np.abs(places.ends[places.first[at] : places.first[at + 1]])
        ends = ends[ends > 0]
        assert (np.diff(ends) >= 0).all()
        assert ends.min(initial=start + 1) > start
        start += len(text.encode())
        assert ends.max(initial=0) <= start


def test_the_space_before_a_text_is_of_its_first_chunk() -> None:
    placer = PLACERS["sentencepiece_bpe"]
    texts = ["", "1 a", "", "2"]
    assert [placer.vocabulary.tokens[token] for token in ids_of(placer, "1 a")][:2] == [b" ", b"1"]
    assert placer.place(texts).ends.tolist() == [-1, 1, 3, -4, 4]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_spells_a_special_token_is_text(family: str) -> None:
    placer = PLACERS[family]
    vocabulary = placer.vocabulary
    special = set(np.flatnonzero(vocabulary.kinds == Kind.SPECIAL).tolist())
    special -= {vocabulary.roles.get("unk")}
    name = vocabulary.names[vocabulary.roles["eos" if "eos" in vocabulary.roles else "sep"]]
    assert not special & set(ids_of(placer, f"the {name} dog"))


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
