"""Canonical sequences of byte-level BPE are the beginnings of encodings, and nothing else."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from tests.families import FAMILIES
from tokxfer.bytelevel.rules.bpe import bpe_rule
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, Kind

NAMES = ("byte_level", "byte_level_groups")
MORE = [
    "".join(letters) for size in range(4) for letters in itertools.product("at1 \n'.é", repeat=size)
] + ["re", "ve", "ll", "the", " the", " and", "over", "2024", "  x", "\n\nx", "tion", "中", "🙂"]
LETTERS = "aBthe 12\n\r'.,sredlvm\t é中🙂_-  \n\n''  000"


@pytest.fixture(scope="module", params=NAMES)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(FAMILIES[request.param]())


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return bpe_rule(vocabulary)


def text_of(source: random.Random, longest: int) -> str:
    return "".join(source.choice(LETTERS) for _ in range(source.randint(1, longest)))


def followed(rule: Rule, tokens: list[int]) -> object | None:
    state: object | None = rule.start
    for token in tokens:
        if state is None:
            return None
        assert bool(rule.allowed(state)[token]) == (rule.follow(state, token) is not None)
        state = rule.follow(state, token)
    return state


def test_encodings_of_texts_are_canonical_and_may_end(
    vocabulary: ByteVocabulary, rule: Rule
) -> None:
    source = random.Random(0)
    for _ in range(400):
        text = text_of(source, 30)
        state = followed(rule, vocabulary.encode(text))
        assert state is not None, text
        assert rule.ends(state), text


def test_what_may_follow_is_what_some_text_brings(vocabulary: ByteVocabulary, rule: Rule) -> None:
    """Every continuation of some kinds is tried; what they bring is allowed, and little else is."""
    source = random.Random(1)
    extra = 0
    for _ in range(25):
        before = vocabulary.encode(text_of(source, 8))
        text = b"".join(vocabulary.tokens[token] for token in before).decode("utf-8", "ignore")
        if vocabulary.encode(text) != before:
            continue
        state = followed(rule, before)
        assert state is not None
        allowed = set(np.flatnonzero(rule.allowed(state)).tolist())
        tokens = [
            token
            for token in vocabulary.text_ids.tolist()
            if vocabulary.kinds[token] == Kind.NORMAL
        ]
        seen = set()
        for token in tokens:
            try:
                spelled = vocabulary.tokens[token].decode()
            except UnicodeDecodeError:
                continue
            ways = (vocabulary.encode(text + spelled + more) for more in MORE[:80])
            if any(ids[: len(before) + 1] == [*before, token] for ids in ways):
                seen.add(token)
        whole = {t for t in tokens if is_text(vocabulary.tokens[t])}
        assert seen <= allowed
        extra += len(allowed & whole - seen)
    assert extra <= 3


def test_ending_is_for_whole_encodings(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(2)
    open_ends = 0
    for _ in range(300):
        ids = vocabulary.encode(text_of(source, 12) + source.choice(MORE))
        for size in range(1, len(ids)):
            spelled = b"".join(vocabulary.tokens[token] for token in ids[:size])
            if not is_text(spelled):
                continue
            state = followed(rule, ids[:size])
            assert state is not None
            whole = vocabulary.encode(spelled.decode()) == ids[:size]
            assert rule.ends(state) == whole, spelled
            open_ends += not whole
    assert open_ends > 5


def test_other_spellings_of_a_text_are_not_canonical(
    vocabulary: ByteVocabulary, rule: Rule
) -> None:
    source = random.Random(3)
    told = 0
    for _ in range(300):
        text = text_of(source, 10)
        ids = vocabulary.encode(text)
        place = source.randrange(len(ids))
        spelled = vocabulary.tokens[ids[place]]
        if len(spelled) < 2:
            continue
        cut = source.randrange(1, len(spelled))
        parts = [vocabulary.ids_of(spelled[:cut]), vocabulary.ids_of(spelled[cut:])]
        if not all(parts):
            continue
        other = [*ids[:place], parts[0][0], parts[1][0], *ids[place + 1 :]]
        state = followed(rule, other)
        assert state is None or not rule.ends(state), text
        told += 1
    assert told > 15


def test_bytes_of_no_character_are_text_too(vocabulary: ByteVocabulary, rule: Rule) -> None:
    state, last = rule.start, b""
    for value in (0xFF, 0xE4, 0x20, 0x80, 0xE4, 0xB8):
        allowed = rule.allowed(state)
        starts = {vocabulary.tokens[token][0] for token in np.flatnonzero(allowed).tolist()}
        merged = {b for b in range(256) if vocabulary.ids_of(last + bytes([b])) and last == b" "}
        assert starts >= set(range(0x80, 0x100)) - {0xB8} - merged
        token = vocabulary.ids_of(bytes([value]))[0]
        after = rule.follow(state, token)
        assert after is not None
        state, last = after, bytes([value])


def edited(part: str, content: dict[str, Any]) -> ByteVocabulary:
    """A byte-level vocabulary with some entries of a part of its tokenizer changed."""
    whole = json.loads(FAMILIES["byte_level"]().to_str())
    whole[part] = {**whole[part], **content}
    return ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(whole)))


def cut_by(*steps: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pre_tokenizers.Sequence(list(steps)).__getstate__())
    return found


def test_pre_tokens_within_characters_are_refused() -> None:
    """Behind a byte-level step other steps see letters for bytes: ² is that of 0xB2."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for step in (pre_tokenizers.Digits(), pre_tokenizers.Punctuation()):
        vocabulary = edited("pre_tokenizer", cut_by(byte_level, step))
        with pytest.raises(UnsupportedError, match="cuts within characters such as"):
            bpe_rule(vocabulary)
    assert followed(
        bpe_rule(edited("pre_tokenizer", cut_by(pre_tokenizers.Digits(), byte_level))), []
    )


def test_steps_behind_byte_level_that_cut_between_characters_are_read() -> None:
    steps = [
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ]
    vocabulary = edited("pre_tokenizer", cut_by(*steps))
    rule = bpe_rule(vocabulary)
    for text in ("хорошо 12345", "Größe 1234²", "¾ 2024"):
        state = followed(rule, vocabulary.encode(text))
        assert state is not None, text
        assert rule.ends(state), text


def test_dropout_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"at random \(dropout 0\.1\)"):
        bpe_rule(edited("model", {"dropout": 0.1}))
    for none in (None, 0.0):
        bpe_rule(edited("model", {"dropout": none}))


@pytest.mark.parametrize("name", ["gpt2", "cl100k"])
def test_real_vocabularies(shared: Path, name: str) -> None:
    file = shared / "tokenizers" / name / "tokenizer.json"
    vocabulary = ByteVocabulary.from_file(file)
    rule = bpe_rule(vocabulary)
    tokenizer = Tokenizer.from_file(str(file))
    for sample in ("english_sample.jsonl", "code_sample.jsonl", "multilingual_sample.jsonl"):
        text = (shared / "corpus" / sample).read_text(encoding="utf-8")[:3000]
        state = followed(rule, tokenizer.encode(text).ids)
        assert state is not None
        assert rule.ends(state)


def is_text(spelled: bytes) -> bool:
    try:
        spelled.decode()
    except UnicodeDecodeError:
        return False
    return True
