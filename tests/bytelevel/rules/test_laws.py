"""Every kind of BPE against its tokenizer: real encodings, respelled texts and random walks."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.bytelevel.drawing import drawn, followed, respelled
from tests.bytelevel.enumeration import canonical, prefixed
from tests.bytelevel.tokenizers import BPE
from tests.families import FAMILIES
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.vocabulary import ByteVocabulary

KINDS = {
    name: FAMILIES[name] for name in ("byte_level", "byte_level_groups", "sentencepiece_bpe")
} | BPE


@pytest.fixture(scope="module", params=KINDS)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(KINDS[request.param]())


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return rule_of(vocabulary)


def test_real_encodings_are_canonical_and_may_end(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(0)
    for _ in range(2000):
        text = drawn(source)
        state = followed(rule, vocabulary.encode(text))
        assert state is not None, text
        assert rule.ends(state), text


def test_of_all_spellings_of_a_text_only_its_encoding_may_end(
    vocabulary: ByteVocabulary, rule: Rule
) -> None:
    source = random.Random(1)
    told = {True: 0, False: 0}
    for _ in range(2000):
        text = drawn(source, 4)
        own = vocabulary.encode(text)
        data = b"".join(vocabulary.tokens[token] for token in own)
        if source.random() < 0.3:  # as it came; a normalizer may have changed it
            data = b" " * prefixed(vocabulary) + text.encode()
        row = respelled(vocabulary, data, source)
        if row is not None:
            state = followed(rule, row)
            assert (state is not None and rule.ends(state)) == (row == own), text
            told[row == own] += 1
    assert told[True] > 100
    assert told[False] > 300


def test_walks_begin_encodings(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(2)
    whole = 0
    for _ in range(300):
        state, row = rule.start, list[int]()
        for _ in range(source.randint(1, 5)):
            allowed = np.flatnonzero(rule.allowed(state)).tolist()
            row.append(source.choice(allowed))
            after = rule.follow(state, row[-1])
            assert after is not None, row
            state = after
        found = canonical(vocabulary, row)
        assert found is not False, [vocabulary.tokens[token] for token in row]
        whole += found is not None
    assert whole > 60


def test_masks_say_what_may_follow(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(3)
    for _ in range(40):
        ids = vocabulary.encode(drawn(source, 5))
        state = followed(rule, ids[: source.randint(0, len(ids))])
        assert state is not None
        allowed = rule.allowed(state)
        for token in range(len(allowed)):
            assert allowed[token] == (rule.follow(state, token) is not None)


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "llama2", "mistral"])
def test_real_tokenizers(shared: Path, name: str) -> None:
    vocabulary = ByteVocabulary.from_file(shared / "tokenizers" / name)
    rule, source = rule_of(vocabulary), random.Random(4)
    told = {True: 0, False: 0}
    for _ in range(150):
        own = vocabulary.encode(drawn(source))
        state = followed(rule, own)
        assert state is not None
        assert rule.ends(state)
        row = respelled(vocabulary, b"".join(vocabulary.tokens[t] for t in own), source)
        state = None if row is None else followed(rule, row)
        assert (state is not None and rule.ends(state)) == (row == own)
        told[row == own] += 1
    assert told[False] > 50
