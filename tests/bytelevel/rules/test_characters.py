"""Characters that come of a few bytes, whatever version of Unicode a tokenizer knows."""

from __future__ import annotations

import random
import unicodedata

import pytest
from tokenizers import Tokenizer

from tests.families import byte_level, byte_level_groups
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.characters import ASSIGNED, beginning, completions
from tokxfer.vocabulary import ByteVocabulary

NEW = [
    character
    for character in map(chr, range(0x80, 0x20000))
    if unicodedata.ucd_3_2_0.category(character) == "Cn" and ASSIGNED.match(character)
]


def test_there_is_one_of_every_category_and_every_ending_of_a_new_character() -> None:
    source = random.Random(0)
    for character in source.sample(NEW, 60):
        whole = character.encode()
        for size in range(1, len(whole)):
            found = completions(whole[:size])
            every = list(beginning(whole[:size]))
            assert set(found) <= set(every)
            assert {*map(unicodedata.category, found)} == {*map(unicodedata.category, every)}
            assert size < len(whole) - 1 or character in found
            assert len(found) < 1500


@pytest.mark.parametrize("made", [byte_level(), byte_level_groups()], ids=["gpt2", "groups"])
def test_no_character_is_impossible(made: Tokenizer) -> None:
    """Not even those that Python's tables do not have yet, and the tokenizer's do."""
    vocabulary = ByteVocabulary.from_tokenizer(made)
    rule = rule_of(vocabulary)
    newest = [c for c in NEW if unicodedata.category(c) == "Cn"]
    source = random.Random(1)
    for character in [*source.sample(NEW, 150), *source.sample(newest, min(600, len(newest)))]:
        before, behind = (
            source.choice(["a", "!", " ", "1", ""]),
            source.choice(["", " b", "a", "!"]),
        )
        state = rule.start
        for token in vocabulary.encode(before + character + behind):
            assert rule.allowed(state)[token], f"{character!r} behind {before!r}"
            follow = rule.follow(state, token)
            assert follow is not None
            state = follow
        assert rule.ends(state)
