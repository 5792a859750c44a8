"""How far tokens spell an entry that stands alone."""

from __future__ import annotations

from tokxfer.bytelevel.rules.wholes import ALONE, OPEN, OTHER, Wholes

WHOLES = Wholes(10, {7: [1, 2, 3], 8: [1, 2], 9: [4, 4]})


def places(row: list[int]) -> list[int]:
    place, found = OPEN, []
    for token in row:
        place = WHOLES.step(place, token)
        found.append(place)
    return found


def test_an_entry_stands_alone_only_where_a_pre_token_begins() -> None:
    assert places([7]) == [ALONE]
    assert places([1, 7])[-1] == OTHER
    assert WHOLES.alone.nonzero()[0].tolist() == [7, 8, 9]


def test_tokens_that_spell_an_entry_are_told() -> None:
    assert [WHOLES.spelled(place) for place in places([1, 2, 3])] == [False, True, True]
    assert [WHOLES.spelled(place) for place in places([4, 4])] == [False, True]
    assert len({*places([1, 2, 3]), *places([4, 4])}) == 5


def test_other_tokens_spell_none_ever_after() -> None:
    assert places([1, 3, 2]) == [places([1])[0], OTHER, OTHER]
    assert places([2])[-1] == OTHER


def test_the_tokens_that_would_spell_one_are_known() -> None:
    assert list(WHOLES.spelling(places([1])[-1])) == [2]
    assert list(WHOLES.spelling(places([1, 2])[-1])) == [3]
    assert list(WHOLES.spelling(OPEN)) == []
    assert list(WHOLES.spelling(OTHER)) == []
