"""Merges that a tokenizer.json lists twice: the later place counts, as `tokenizers` reads it."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tests.families import TEXT, byte_level, sentencepiece_bpe
from tokxfer.bytelevel.rules import Rule, rule_of
from tokxfer.bytelevel.rules.merges import MergeTable, encode_rows
from tokxfer.vocabulary import read_vocabulary

IDS = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5, "ca": 6}
PAIRS = [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "a")]


@pytest.mark.parametrize("seed", range(8))
def test_a_table_encodes_as_tokenizers_does(seed: int) -> None:
    source = random.Random(seed)
    pairs = [source.choice(PAIRS) for _ in range(3)] + source.sample(PAIRS, len(PAIRS))
    assert len(set(pairs)) < len(pairs)
    tokenizer = Tokenizer(models.BPE(vocab=IDS, merges=pairs))
    table = MergeTable.of(pairs, IDS)
    rows = list(itertools.product(range(3), repeat=5))
    found, _, _ = encode_rows(table, np.array(rows))
    for row, ids in zip(rows, found.tolist(), strict=True):
        text = "".join("abc"[letter] for letter in row)
        assert [token for token in ids if token >= 0] == tokenizer.encode(text).ids, (pairs, text)


def ends(rule: Rule, ids: list[int]) -> bool:
    """Whether ids are the encoding of a whole text, by a rule."""
    state = rule.start
    for token in ids:
        follows = rule.follow(state, token)
        if follows is None:
            return False
        state = follows
    return rule.ends(state)


@pytest.mark.parametrize("build", [byte_level, sentencepiece_bpe])
def test_encodings_are_canonical_where_merges_are_listed_twice(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    content = json.loads(build().to_str())
    merges = content["model"]["merges"]
    content["model"]["merges"] = merges + merges[: len(merges) // 2]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    vocabulary = read_vocabulary(tmp_path)
    once = build()
    words = TEXT.split()
    texts = [" ".join(words[at : at + 6]) for at in range(0, len(words), 6)]
    texts = [text for text in texts if vocabulary.encode(text) != once.encode(text).ids]
    assert len(texts) > 5, "the order of merges matters"
    rule = rule_of(vocabulary)
    for text in texts:
        assert ends(rule, vocabulary.encode(text)), text
        bare = once.encode(text, add_special_tokens=False).ids
        assert not ends(rule, bare) or bare == vocabulary.encode(text)
