"""Nearest byte strings, against comparing all with all by the textbook's table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.vocabulary.vocabularies import vocabulary
from tokxfer.distillation.editdistance import levenshtein, nearest_tokens

STRINGS = st.lists(
    st.one_of(st.text("ab", max_size=7), st.text("abcdé ", max_size=12)).map(str.encode),
    min_size=1,
    max_size=30,
)


def distance(left: bytes, right: bytes) -> int:
    """Wagner and Fischer's table."""
    table = [list(range(len(right) + 1))]
    for i, one in enumerate(left, 1):
        table.append([i])
        for j, other in enumerate(right, 1):
            changed = table[i - 1][j - 1] + (one != other)
            table[i].append(min(table[i - 1][j] + 1, table[i][j - 1] + 1, changed))
    return table[-1][-1]


def oracle(queries: list[bytes], tokens: list[bytes]) -> tuple[list[int], list[int]]:
    found = [min((distance(q, t), place) for place, t in enumerate(tokens)) for q in queries]
    return [place for _, place in found], [far for far, _ in found]


@settings(deadline=None)
@given(STRINGS, STRINGS)
@example([b"", b"aaaaaaa", b"zz"], [b"aaaa", b"", b"zzzz", b"z", b"y"])
def test_the_nearest_is_what_comparing_all_with_all_finds_and_ties_go_to_the_first(
    queries: list[bytes], tokens: list[bytes]
) -> None:
    places, distances = nearest_tokens(queries, tokens)
    assert (places.tolist(), distances.tolist()) == oracle(queries, tokens)


def test_it_is_so_for_the_tokens_of_two_vocabularies() -> None:
    mine, theirs = vocabulary("sentencepiece_bpe"), vocabulary("byte_level")
    tokens = list(theirs.by_bytes)
    queries = [text for text in mine.by_bytes if text not in theirs.by_bytes]
    queries = sorted(queries, key=len)[-60:]
    places, distances = nearest_tokens(queries, tokens)
    assert (places.tolist(), distances.tolist()) == oracle(queries, tokens)
    assert distances.max() > 2


def test_pairs_of_all_sizes_are_measured_together() -> None:
    left, right = [b"kitten", b"", b"abc", b"flaw"], [b"sitting", b"abc", b"", b"lawn"]
    arrays = [
        np.array([list(each.ljust(9, b"x")) for each in side], dtype=np.uint8)
        for side in (left, right)
    ]
    sizes = [np.array([len(each) for each in side]) for side in (left, right)]
    assert levenshtein(arrays[0], sizes[0], arrays[1], sizes[1]).tolist() == [3, 3, 3, 2]


def test_no_queries_have_no_neighbours_and_no_tokens_are_refused() -> None:
    places, distances = nearest_tokens([], [b"a"])
    assert len(places) == len(distances) == 0
    with pytest.raises(ValueError, match="among no tokens"):
        nearest_tokens([b"a"], [])
