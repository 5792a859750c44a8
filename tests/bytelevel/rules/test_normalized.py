"""Behind a normalizer only text that it leaves as it is has canonical tokens."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from tests.bytelevel.drawing import followed, respelled
from tests.bytelevel.tokenizers import composed
from tests.families import byte_level
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.normalized import leans
from tokxfer.bytelevel.rules.normalizing import normalize_text, text_normalizer
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary

FORMS: dict[str, Any] = {
    "NFC": normalizers.NFC(),
    "NFD": normalizers.NFD(),
    "NFKC": normalizers.NFKC(),
    "NFKD": normalizers.NFKD(),
    "lower": normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
    "quotes": normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.NFKC()]),
    "runs": normalizers.Sequence(
        [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(False, True)]
    ),
}
LETTERS = [*"aeAExo <>=`", *"éÅàếạ", *"ﬁ²½Ⅳﾊ", *"가각한ᄀ까ᅵᆨᆫ", *"कखन", "ো", "ে", "া", "़", "ִ", "ّ"]
MARKS = [*"\u0301\u0300\u0302\u0323\u0327\u0308\u0338\u0345\u200d\u3099", "ﾞ"]


@pytest.fixture(scope="module", params=FORMS)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    tokenizer = byte_level()
    tokenizer.normalizer = FORMS[request.param]
    return ByteVocabulary.from_tokenizer(tokenizer)


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return rule_of(vocabulary)


def drawn(source: random.Random, letters: list[str] = LETTERS) -> str:
    return "".join(
        source.choice(MARKS if source.random() < 0.4 else letters)
        for _ in range(source.randint(1, 6))
    )


def test_only_text_that_stays_is_canonical(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(0)
    told = {True: 0, False: 0}
    for _ in range(800):
        text = drawn(source)
        if source.random() < 0.5:
            text = normalize_text(vocabulary, text)
        own = vocabulary.encode(text)
        row = own if source.random() < 0.3 else respelled(vocabulary, text.encode(), source)
        assert row is not None
        data = b"".join(vocabulary.tokens[token] for token in row)
        stays = normalize_text(vocabulary, data.decode()) == data.decode()
        state = followed(rule, row)
        assert (state is not None and rule.ends(state)) == (row == own and stays), text
        told[row == own] += 1
    assert told[True] > 100
    assert told[False] > 20


def test_masks_say_what_may_follow(vocabulary: ByteVocabulary, rule: Rule) -> None:
    source = random.Random(1)
    for text in ("e", "가", "ᄀ", "ক\u09c7", "x  ", "e\u0323", "``"):
        ids = vocabulary.encode(text)
        state = followed(rule, ids[: source.randint(1, len(ids))])
        if state is None:
            continue
        allowed = rule.allowed(state)
        for token in range(len(allowed)):
            assert allowed[token] == (rule.follow(state, token) is not None)


def test_an_accent_that_would_be_drawn_into_its_letter_may_not_follow() -> None:
    vocabulary = ByteVocabulary.from_tokenizer(composed())
    rule = rule_of(vocabulary)
    for text, may in (("e", False), ("x", True), ("\u0301", True), (" ", True)):
        state = followed(rule, vocabulary.encode(text))
        begun = rule.follow(state, vocabulary.ids_of(b"\xcc")[0])
        assert begun is not None
        assert bool(rule.allowed(begun)[vocabulary.ids_of(b"\x81")[0]]) == may, text


def test_what_is_composed_with_a_character_before_it_leans() -> None:
    """Of all characters: otherwise tails would be too short."""
    for code in (c for c in range(0x20000) if not 0xD800 <= c < 0xE000):
        parts = unicodedata.normalize("NFD", chr(code))[1:]
        assert all(map(leans, parts)), hex(code)
        assert leans(chr(code)) or not unicodedata.combining(chr(code)), hex(code)


def test_added_tokens_are_cut_out_before_or_behind_the_normalizer() -> None:
    tokenizer = composed()
    tokenizer.add_tokens([AddedToken("<first>", normalized=False), AddedToken("<later>")])
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    rule = rule_of(vocabulary)
    for text in ("a<first>\u0338b", "a<later>b", "a<later\u226f"):
        state = followed(rule, vocabulary.encode(text))
        assert state is not None, text
        assert rule.ends(state), text
    first, later = (tokenizer.token_to_id(name) for name in ("<first>", "<later>"))
    slash = vocabulary.encode("\u0338")
    assert followed(rule, [first, *slash]) is not None
    assert followed(rule, [later, *slash]) is None  # > and the slash would be one character


def test_text_is_normalized_as_its_encoding_is() -> None:
    tokenizer = composed()
    tokenizer.add_tokens([AddedToken("e\u0301e", normalized=False)])
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    for text in ("cafe\u0301", "e\u0301e\u0301", "plain", "\u1112\u1161\u11ab"):
        ids = vocabulary.encode(text)
        spelled = b"".join(vocabulary.tokens[token] for token in ids).decode()
        assert normalize_text(vocabulary, text) == spelled


def test_without_a_normalizer_text_stays() -> None:
    vocabulary = ByteVocabulary.from_tokenizer(byte_level())
    assert text_normalizer(vocabulary) is None
    assert normalize_text(vocabulary, "e\u0301") == "e\u0301"


@pytest.mark.parametrize(
    "normalizer", [normalizers.Replace(Regex("a.*b"), "c"), normalizers.Strip()]
)
def test_normalizers_that_look_far_are_refused(normalizer: Any) -> None:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizer
    with pytest.raises(UnsupportedError, match="cannot be told from a few characters"):
        rule_of(ByteVocabulary.from_tokenizer(tokenizer))


def test_pre_tokenizers_that_drop_text_are_refused() -> None:
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), tokenizer.pre_tokenizer]
    )
    with pytest.raises(UnsupportedError, match="drops some of the text"):
        rule_of(ByteVocabulary.from_tokenizer(tokenizer))


@pytest.fixture(scope="module")
def charsmap(shared: Path) -> ByteVocabulary:
    """Byte-level BPE behind the normalizer of XLM-R."""
    content = json.loads(
        (shared / "tokenizers" / "xlmr-unigram-de-50k" / "tokenizer.json").read_text()
    )
    tokenizer = json.loads(byte_level().to_str())
    return ByteVocabulary.from_tokenizer(
        Tokenizer.from_str(json.dumps(tokenizer | {"normalizer": content["normalizer"]}))
    )


def test_a_real_charsmap_leaves_what_its_tokenizer_leaves(charsmap: ByteVocabulary) -> None:
    rule, source = rule_of(charsmap), random.Random(2)
    changed, beginnings = 0, 0
    for trial in range(400):
        text = drawn(source) if trial % 2 else source.choice("eA") + drawn(source, MARKS)
        kept = [normalize_text(charsmap, text[:size]) == text[:size] for size in range(len(text))]
        stays = normalize_text(charsmap, text) == text
        row = respelled(charsmap, text.encode(), source)
        state = followed(rule, row or [])
        own = charsmap.encode(text)
        assert (state is not None and rule.ends(state)) == (row == own and stays), text
        changed += not stays
        beginnings += stays and not all(kept)
    assert 50 < changed < 350
    assert beginnings > 5


def test_marks_that_a_charsmap_leaves_when_more_follow_are_possible(
    charsmap: ByteVocabulary,
) -> None:
    """It makes one letter of e with an accent, and leaves e with three as it is."""
    rule, text = rule_of(charsmap), "e\u0301\u0308\u0301"
    assert normalize_text(charsmap, text) == text
    assert normalize_text(charsmap, "e\u0301") == "\u00e9"
    row = charsmap.encode(text)
    states = [followed(rule, row[:size]) for size in range(len(row) + 1)]
    assert None not in states
    assert [rule.ends(state) for state in states if state][-1]
    one = followed(rule, charsmap.encode("e") + charsmap.encode("\u0301"))
    assert one is not None
    assert not rule.ends(one)
    follows = {charsmap.tokens[token] for token in np.flatnonzero(rule.allowed(one)).tolist()}
    assert b"\xcc" in follows
    assert not follows & {b"a", b" ", b"\n"}
