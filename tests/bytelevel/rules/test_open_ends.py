"""A sequence is canonical only if tokens can go on from it to the end of some text."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from tests.bytelevel.drawing import followed
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.vocabulary import ByteVocabulary

GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
THREES = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex("[0-9]{1,3}(?=(?:[0-9]{3})*(?![0-9]))"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)


def with_merges(cutter: Any, *merges: tuple[str, str]) -> tuple[ByteVocabulary, Rule]:
    """A byte-level vocabulary of all bytes and a few merges, with its rule."""
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    vocab = {name: token for token, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    tokenizer.pre_tokenizer, tokenizer.decoder = cutter, decoders.ByteLevel()
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    return vocabulary, rule_of(vocabulary)


def may_stand(vocabulary: ByteVocabulary, rule: Rule, *spelled: bytes) -> bool:
    return followed(rule, [vocabulary.ids_of(token)[0] for token in spelled]) is not None


def test_a_character_that_no_text_has_there_is_not_begun() -> None:
    """Two spaces stay one piece before another space only."""
    vocabulary, rule = with_merges(GPT2, ("Ġ", "Ġ"))
    assert may_stand(vocabulary, rule, b"  ", b"\xe3")  # of the ideographic space, E3 80 80
    assert not may_stand(vocabulary, rule, b"  ", b"\xe4")
    assert may_stand(vocabulary, rule, b" ", b"\xe4")


def test_a_character_that_tokens_cannot_spell_is_not_begun() -> None:
    vocabulary, rule = with_merges(GPT2, ("Ġ", "Ġ"), ("ã", "Ģ"))
    assert not may_stand(vocabulary, rule, b"  ", b"\xe3")  # its next byte would be merged with it
    assert may_stand(vocabulary, rule, b"  ", b"\xe3\x80", b"\x80")


@pytest.mark.parametrize("merged", [False, True])
def test_a_group_that_must_go_on_can(merged: bool) -> None:
    """A group of 222 needs three more digits; 1 and any digit are merged first, if they are."""
    ones = [("1", digit) for digit in "1023456789"] if merged else []
    vocabulary, rule = with_merges(THREES, *ones, ("2", "2"), ("22", "2"))
    assert may_stand(vocabulary, rule, b"222", b"1") != merged
    assert may_stand(vocabulary, rule, b"222", b"3", b"4")
    assert not may_stand(vocabulary, rule, b"222", b"3", b"4", b".")
