"""Canonical sequences of Unigram are the library's own encodings, and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models

from tests.bytelevel.rules.walks import covered, judged, respelled, rows, text_of, walked
from tests.bytelevel.variants import UNIGRAM, encoded, variant
from tests.families import BYTE_TOKENS, FAMILIES
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.lattice import Lattice
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.bytelevel.rules.splits import Splits
from tokxfer.bytelevel.rules.unigram import UnigramRule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary


@pytest.fixture(scope="module", params=UNIGRAM)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return variant(request.param)


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return rule_of(vocabulary)


def begins(vocabulary: ByteVocabulary) -> bytes:
    return b" " if vocabulary.tokens[vocabulary.encode("a")[0]].startswith(b" ") else b""


def test_encodings_of_texts_are_canonical_and_may_end(
    vocabulary: ByteVocabulary, rule: Rule
) -> None:
    source, tokens = random.Random(0), 0
    for _ in range(350):
        text = text_of(source)
        row = covered(rule, vocabulary.encode(text))
        state = walked(rule, row)
        assert state is not None, text
        assert rule.ends(state), text
        tokens += len(row)
    assert tokens > 200


def test_only_encodings_are_canonical(vocabulary: ByteVocabulary, rule: Rule) -> None:
    counts = {True: 0, False: 0}
    for row in rows(rule, vocabulary, random.Random(1), 600, begins(vocabulary)):
        spelled = b"".join(rule.tokens[token] for token in row)
        own = encoded(vocabulary, spelled)
        if own is not None:
            assert judged(rule, row, own), spelled
            counts[row == own] += 1
    assert min(counts.values()) > 3


def test_masks_are_what_may_follow(vocabulary: ByteVocabulary, rule: Rule) -> None:
    for row in rows(rule, vocabulary, random.Random(2), 9, begins(vocabulary)):
        state: object | None = rule.start
        for token in row[:6]:
            agrees(rule, state)
            state = rule.follow(state, token)
            if state is None:
                break


def agrees(rule: Rule, state: object) -> None:
    followed = [rule.follow(state, token) is not None for token in range(len(rule.tokens))]
    assert np.array_equal(rule.allowed(state), followed)


@pytest.mark.parametrize("fallback", [False, True])
def test_equal_scores_are_told_apart_as_the_library_does(fallback: bool) -> None:
    source, splits = random.Random(3), Splits(lambda _: (0,))
    ties, counts = 0, {True: 0, False: 0}
    for _ in range(40):
        pieces = {"".join(source.choices("abé", k=source.randint(1, 3))) for _ in range(9)}
        scores = {piece: -float(source.randint(1, 2)) for piece in sorted(pieces | {"a", "é"})}
        scores = {"<unk>": 0.0, **(dict.fromkeys(BYTE_TOKENS, 0.0) if fallback else {})} | scores
        tokenizer = Tokenizer(models.Unigram(list(scores.items()), 0, fallback))
        tokenizer.decoder = decoders.ByteFallback()
        names = [name if name in pieces | {"a", "é"} else "" for name in scores]
        tokens = [name.encode() for name in names]
        if fallback:
            tokens[1:257] = [bytes([value]) for value in range(256)]
        rule = UnigramRule(splits, Lattice(scores), names, tuple(tokens), None, lambda _: False)
        ids = {spelled: token for token, spelled in enumerate(tokens) if spelled}
        ties += not rule.untied
        for place in range(60):
            text = "".join(source.choices("abédc", k=source.randint(1, 9)))
            row = covered(rule, tokenizer.encode(text).ids)
            if row and place % 2:
                row = respelled(source, rule, ids, row)
            own = tokenizer.encode(b"".join(tokens[token] for token in row).decode()).ids
            assert judged(rule, row, own), (scores, text)
            counts[row == own] += 1
        agrees(rule, walked(rule, row[:-1]) or rule.start)
    assert ties > 10
    assert min(counts.values()) > 50


def test_scores_are_the_numbers_that_the_library_reads() -> None:
    """It may read a number from a file one unit in the last place beside it."""
    scores = [("<unk>", 0.0), ("b", -0.3 - 5e-17), ("bb", -0.6 - 1e-16), ("éaéa", -1.3 - 2e-16)]
    tokenizer = Tokenizer(models.Unigram([*scores, ("caab", -1.2 - 2e-16)], 0, False))
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    rule = rule_of(vocabulary)
    for text in ("éaéaéaéabb", "caabcaabéaéacaabbb", "bbb", "éaéabbbb"):
        row = vocabulary.encode(text)
        assert judged(rule, row, row)
        assert walked(rule, row) is not None


def test_bytes_of_no_character_are_text_too() -> None:
    vocabulary = variant("bytes")
    rule, state = rule_of(vocabulary), None
    for row in ([0xFF], [0xE4, 0x20], [0x80, 0xE4, 0xB8], [0xF0, 0x9F, 0xF0, 0x9F]):
        tokens = [vocabulary.names.index(f"<0x{value:02X}>") for value in row if value != 0x20]
        tokens += [vocabulary.encode("a")[0]] if 0x20 in row else []
        state = walked(rule, tokens, begins=False)
        assert state is not None, row
        assert rule.ends(state)
        agrees(rule, state)


def test_characters_with_a_piece_are_not_spelled_in_bytes() -> None:
    vocabulary = variant("bytes")
    rule, piece = rule_of(vocabulary), vocabulary.encode("a")[-1]
    assert vocabulary.tokens[piece].endswith(b"a")
    assert rule.follow(rule.behind, vocabulary.names.index("<0x61>")) is None
    assert rule.follow(rule.behind, vocabulary.names.index("<0x20>")) is None


def test_real_vocabulary(shared: Path) -> None:
    vocabulary = ByteVocabulary.from_file(shared / "tokenizers" / "xlmr-unigram-de-50k")
    real_texts_are_judged(vocabulary, shared / "corpus" / "multilingual_sample.jsonl")


def test_reference_vocabulary(shared: Path, models: Path) -> None:
    vocabulary = ByteVocabulary.from_file(models / "english-unigram")
    for language in ("english", "code"):
        real_texts_are_judged(vocabulary, shared / "corpus" / f"{language}_sample.jsonl")


def real_texts_are_judged(vocabulary: ByteVocabulary, file: Path) -> None:
    rule, counts = rule_of(vocabulary), {True: 0, False: 0}
    for line in file.read_text("utf-8").splitlines()[:60]:
        row = covered(rule, vocabulary.encode(json.loads(line)["text"][:300]))
        assert walked(rule, row) is not None
    for row in rows(rule, vocabulary, random.Random(5), 400, b" "):
        own = encoded(vocabulary, b"".join(rule.tokens[token] for token in row))
        if own is not None:
            assert judged(rule, row, own)
            counts[row == own] += 1
    assert min(counts.values()) > 3


def test_added_tokens_are_cut_out_before_or_behind_the_normalizer() -> None:
    tokenizer = FAMILIES["unigram"]()
    without = tokenizer.encode("the girl", add_special_tokens=False).ids
    tokenizer.add_tokens([AddedToken("ﬁsh", normalized=False), AddedToken("girl", normalized=True)])
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    rule = rule_of(vocabulary)
    for text in ("the ﬁsh girl", "ﬁsh", "girl girls", "the girlﬁsh sat"):
        row = vocabulary.encode(text)
        assert {vocabulary.names[token] for token in row} & {"ﬁsh", "girl"}
        state = walked(rule, row)
        assert state is not None, text
        assert rule.ends(state)
    assert walked(rule, without) is None


def test_what_is_not_known_is_refused() -> None:
    content = json.loads(FAMILIES["unigram_bytes"]().to_str())
    content["model"]["unk_id"] = None
    with pytest.raises(UnsupportedError, match="without <unk>"):
        rule_of(ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content))))
    content["model"]["unk_id"] = 2
    content["model"]["vocab"] = [p for p in content["model"]["vocab"] if p[0] != "<0xE4>"]
    with pytest.raises(UnsupportedError, match="only 255 of the 256 byte tokens"):
        rule_of(ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content))))
