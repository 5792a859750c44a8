"""Texts begin with the space that encoding puts there, and with no other byte."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from tests.bytelevel.drawing import drawn, followed
from tests.families import FAMILIES
from tokxfer.bytelevel.rules import EverythingRule, rule_of
from tokxfer.vocabulary import ByteVocabulary

TEXTS = ["a<tool>b", "<tool>", "<tool>b", "a <tool> b", "a<tool> b", "a<tool><tool>b", "a<too"]


def lower() -> Tokenizer:
    """Lower case before the mark."""
    tokenizer = FAMILIES["sentencepiece_bpe"]()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), tokenizer.normalizer])
    return tokenizer


def spaced() -> Tokenizer:
    """Byte-level BPE that puts a space before a text that begins with none."""
    tokenizer = FAMILIES["byte_level"]()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def metaspace(scheme: str) -> Callable[[], Tokenizer]:
    """Unigram whose marks come from its pre-tokenizer."""

    def make() -> Tokenizer:
        tokenizer = FAMILIES["unigram_bytes"]()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        return tokenizer

    return make


PREFIXING: dict[str, Callable[[], Tokenizer]] = {
    "normalizer": FAMILIES["sentencepiece_bpe"],
    "lower": lower,
    "byte level": spaced,
    "always": metaspace("always"),
    "first": metaspace("first"),
}


@pytest.mark.parametrize("kind", PREFIXING)
def test_the_first_byte_is_the_space(kind: str) -> None:
    vocabulary = ByteVocabulary.from_tokenizer(PREFIXING[kind]())
    rule, letter = rule_of(vocabulary), vocabulary.names.index("a")
    for law in (rule, EverythingRule(rule)):
        first, later = (
            {law.tokens[token][:1] for token in np.flatnonzero(law.allowed(state)).tolist()}
            for state in (law.start, law.behind)
        )
        assert first == {b" "}
        assert {b" ", b"a", b"."} <= later
        assert law.ends(law.start)
        assert law.follow(law.start, letter) is None
        assert law.follow(law.behind, letter) is not None


def test_where_encoding_puts_no_space_a_text_begins_as_it_goes_on() -> None:
    for kind in ("byte_level", "byte_level_groups", "gemma", "word_piece"):
        rule = rule_of(ByteVocabulary.from_tokenizer(FAMILIES[kind]()))
        assert rule.start == rule.behind


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("kind", PREFIXING)
def test_added_tokens_are_found_as_encoding_finds_them(kind: str, normalized: bool) -> None:
    tokenizer = PREFIXING[kind]()
    tokenizer.add_tokens([AddedToken("<tool>", normalized=normalized)])
    vocabulary, source = ByteVocabulary.from_tokenizer(tokenizer), random.Random(0)
    rule = rule_of(vocabulary)
    texts = TEXTS + [drawn(source, 4) + part + drawn(source, 4) for part in TEXTS for _ in range(9)]
    for text in texts:
        row = vocabulary.encode(text)
        state = followed(rule, row)
        assert state is not None, text
        assert rule.ends(state), text
    spelled = [b"".join(rule.tokens[t] for t in vocabulary.encode(text)) for text in TEXTS]
    assert all(len(vocabulary.encode(text)) for text in TEXTS)
    if normalized and kind in ("normalizer", "lower"):
        assert spelled[1] == b" <tool>"
        assert spelled[3] == b" a <tool> b"
    bare = [token for token, name in enumerate(vocabulary.names) if name == "b"]
    after = followed(rule, vocabulary.encode("a <tool>"))
    assert after is not None
    afresh = spelled[2].endswith(b" b")
    assert rule.allowed(after)[bare].any() == (not afresh)


def test_an_added_token_in_capitals_is_found_in_lower_case() -> None:
    tokenizer = lower()
    tokenizer.add_tokens([AddedToken("<Tool>", normalized=True)])
    vocabulary = ByteVocabulary.from_tokenizer(Tokenizer.from_str(tokenizer.to_str()))
    assert json.loads(tokenizer.to_str())["added_tokens"][-1]["content"] == "<Tool>"
    rule, row = rule_of(vocabulary), vocabulary.encode("a <TOOL> b")
    assert followed(rule, row) is not None
    assert b"".join(rule.tokens[token] for token in row) == b" a <tool> b"
