"""Byte tokens of SentencePiece BPE: for characters without a token, and for bytes of none."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.bytelevel.drawing import broken, drawn, followed, spelled
from tests.families import FAMILIES, REPLACEMENT
from tokxfer.bytelevel.frontier import Frontier, Node
from tokxfer.bytelevel.horizon import HorizonFrontier
from tokxfer.bytelevel.rules import EverythingRule, Rule, rule_of
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary

STRAY = [b"a\xff", b"\xc2t", b"\xef\xbf", b"\xef\xbft", b"\xe2\x80 ", b"\x80\x80", b"\xc2\xc2\x80"]
BLOCK = [chr(code) for code in range(0x80, 0xC0)]  # all characters that begin with one byte


@pytest.fixture(scope="module", params=["sentencepiece_bpe", "gemma", "block"])
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    name = request.param
    content = json.loads(FAMILIES["sentencepiece_bpe" if name == "block" else name]().to_str())
    if name == "block":
        names = content["model"]["vocab"]
        names |= {c: at for at, c in enumerate(sorted({*BLOCK} - names.keys()), len(names))}
    return ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))


def possible(rule: Rule, data: bytes) -> bool:
    """Whether some canonical sequence covers some bytes behind a context."""
    going = Frontier(rule, TokenShares(rule, []).whole, Node(None, -1, 0, 0, rule.behind))
    for byte in data:
        going.step(byte)
    return bool(going.live)


@pytest.mark.parametrize("data", STRAY)
def test_stray_bytes_pass_though_what_they_are_decoded_to_has_a_token(
    vocabulary: ByteVocabulary, data: bytes
) -> None:
    assert vocabulary.ids_of(REPLACEMENT.encode())
    assert possible(rule_of(vocabulary), data)


def test_a_character_that_has_a_token_is_not_spelled_in_bytes(vocabulary: ByteVocabulary) -> None:
    rule = rule_of(vocabulary)
    for character in (REPLACEMENT, "é", "…", *BLOCK):
        if any(vocabulary.names[token] == character for token in range(vocabulary.size)):
            state: object | None = rule.behind
            ids = [vocabulary.names.index(f"<0x{byte:02X}>") for byte in character.encode()]
            for token in ids[:-1]:
                assert state is not None
                state = rule.follow(state, token)
            assert state is not None, character
            assert not rule.allowed(state)[ids[-1]], character
            assert rule.follow(state, ids[-1]) is None, character


@pytest.mark.parametrize("name", ["llama2", "mistral", "gpt2", "cl100k", "xlmr-unigram-de-50k"])
def test_nothing_that_real_vocabularies_spell_is_impossible(shared: Path, name: str) -> None:
    vocabulary = read_vocabulary(shared / "tokenizers" / name)
    rule, source = rule_of(vocabulary), random.Random(6)
    every = EverythingRule(rule)
    settled = rule_of(vocabulary, normalized=False) if vocabulary.normalizes else rule
    plain, whole = TokenShares(rule, []).whole, TokenShares(every, []).whole
    spells_all = {bytes([value]) for value in range(256)} <= set(rule.tokens)
    for _ in range(150):
        text = drawn(source)
        state = followed(rule, vocabulary.encode(text)) if spells_all else True
        assert state is not None, text
        data = broken(source, text.encode())
        if spells_all:
            going = Frontier(rule, plain, Node(None, -1, 0, 0, rule.behind))
            assert all(going.step(byte) or going.live for byte in data), data
        free = HorizonFrontier(every, whole, settled, 3, begins=False)
        for at, byte in enumerate(data):
            free.step(byte)
            if not free.live:
                assert not spelled(rule.tokens, data[: at + 1]), data[: at + 1]
                break
