"""Which tokens may follow which: compared with the tokenizers themselves, pair by pair."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tests.families import FAMILIES
from tokxfer.bytelevel.rules.merges import Derivations, MergeTable, encode_rows
from tokxfer.bytelevel.rules.pairs import PairRule

BPE = ("byte_level", "byte_level_groups", "sentencepiece_bpe", "gemma")


class Model:
    """A BPE model taken apart, and the library's own encoding of text without any pre-tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        content = json.loads(tokenizer.to_str())
        content["model"]["ignore_merges"] = False
        model = content["model"]
        self.ids: dict[str, int] = model["vocab"]
        self.names = {token: name for name, token in self.ids.items()}
        pairs = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
        self.table = MergeTable.of(pairs, self.ids)
        self.atoms = {
            token: [self.ids[c] for c in name]
            for name, token in self.ids.items()
            if all(c in self.ids for c in name)
        }
        self.derivations = Derivations.of(self.table, self.atoms)
        self.rule = PairRule(self.table, self.derivations)
        self._library = Tokenizer.from_str(json.dumps(content)).model

    def encode(self, name: str) -> list[int]:
        return [piece.id for piece in self._library.tokenize(name)]


@pytest.fixture(scope="module", params=BPE)
def model(request: pytest.FixtureRequest) -> Model:
    return Model(FAMILIES[request.param]())


def test_rows_are_encoded_as_the_library_encodes_them(model: Model) -> None:
    letters = [name for name in model.ids if len(name) == 1 and name.isascii()]
    source = random.Random(0)
    texts = ["".join(source.choices(letters, k=9)) for _ in range(200)]
    rows = np.array([[model.ids[c] for c in text] for text in texts])
    found, _, _ = encode_rows(model.table, rows)
    for text, row in zip(texts, found.tolist(), strict=True):
        assert [token for token in row if token >= 0] == model.encode(text)


def test_reachable_tokens_are_those_that_encode_to_themselves(model: Model) -> None:
    for token in model.atoms:
        expected = model.encode(model.names[token]) == [token]
        assert model.derivations.reachable[token] == expected, model.names[token]


def test_parts_and_clocks_are_those_of_the_last_merge(model: Model) -> None:
    made = model.derivations
    merged = [token for token in model.atoms if made.left[token] >= 0]
    assert len(merged) > 50
    for token in merged:
        left, right, rank = int(made.left[token]), int(made.right[token]), int(made.rank[token])
        assert model.names[left] + model.names[right] == model.names[token]
        assert model.table.made[rank] == token
        assert made.clock[token] >= max(rank, made.clock[left], made.clock[right])


def test_every_pair_is_judged_as_the_library_does(model: Model) -> None:
    tokens = [token for token in model.atoms if model.derivations.reachable[token]]
    invalid = 0
    for left in random.Random(1).sample(tokens, 60):
        forbidden = model.rule.forbidden(left)
        for right in tokens:
            kept = model.encode(model.names[left] + model.names[right]) == [left, right]
            assert kept != forbidden[right], (model.names[left], model.names[right])
            invalid += not kept
    assert invalid > 100


def test_sequences_are_kept_if_all_their_pairs_are(model: Model) -> None:
    tokens = [token for token in model.atoms if model.derivations.reachable[token]]
    source = random.Random(2)
    masks = {token: model.rule.forbidden(token) for token in tokens}
    kept = 0
    for _ in range(1500):
        row = source.choices(tokens, k=source.randint(3, 6))
        valid = not any(masks[a][b] for a, b in itertools.pairwise(row))
        assert (model.encode("".join(model.names[t] for t in row)) == row) == valid
        kept += valid
    assert kept > 30


def test_tokens_that_no_text_becomes_follow_nothing() -> None:
    ids = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    table = MergeTable.of([("a", "b"), ("b", "c"), ("a", "bc")], ids)  # abc is never reached
    made = Derivations.of(table, {i: [ids[c] for c in name] for name, i in ids.items()})
    assert made.reachable.tolist() == [True, True, True, True, True, False]
    rule = PairRule(table, made)
    assert not rule.allows(0, 5)
    assert not rule.allows(0, 1)  # they would be merged
    assert rule.allows(3, 2)


def test_equal_merges_go_from_the_left() -> None:
    ids = {"a": 0, "aa": 1, "aaaa": 2}
    table = MergeTable.of([("a", "a"), ("aa", "aa")], ids)
    made = Derivations.of(table, {i: [0] * len(name) for name, i in ids.items()})
    rule = PairRule(table, made)
    assert [[rule.allows(a, b) for b in range(3)] for a in range(3)] == [
        [False, False, False],
        [True, False, False],
        [True, True, True],
    ]


def random_model(seed: int) -> Model:
    """Merges of random pairs in a random order, so that tokens come about out of order, too."""
    source = random.Random(seed)
    names = list("abc"[: source.randint(1, 3)])
    merges: list[tuple[str, str]] = []
    for _ in range(source.randint(3, 14)):
        pair = (source.choice(names), source.choice(names))
        if len(pair[0] + pair[1]) <= 8 and pair not in merges:
            merges.append(pair)
            names = list(dict.fromkeys((*names, pair[0] + pair[1])))
    if seed % 4:
        source.shuffle(merges)
    ids = {name: token for token, name in enumerate(names)}
    return Model(Tokenizer(models.BPE(ids, merges)))


def test_random_merges_in_any_order_are_judged_as_the_library_does() -> None:
    """Pairs and sequences of random tables; in half of them some token is made out of order."""
    late = told = 0
    for seed in range(250):
        model = random_model(seed)
        made = model.derivations
        late += bool((made.clock > made.rank).any())
        tokens = np.flatnonzero(made.reachable).tolist()
        forbidden = {token: model.rule.forbidden(token) for token in tokens}
        for left, right in itertools.product(tokens, repeat=2):
            kept = model.encode(model.names[left] + model.names[right]) == [left, right]
            assert kept != forbidden[left][right], (seed, model.names[left], model.names[right])
            assert model.rule.allows(left, right) == kept
        source = random.Random(seed)
        for _ in range(60):
            row = source.choices(tokens, k=source.randint(3, 6))
            kept = model.encode("".join(model.names[t] for t in row)) == row
            assert kept != any(forbidden[a][b] for a, b in itertools.pairwise(row)), (seed, row)
            told += kept
    assert late > 100
    assert told > 500


def test_a_part_made_at_the_turn_of_the_other_part_is_not_used_up_at_once() -> None:
    merges = [("ab", "ab"), ("b", "ab"), ("a", "b")]
    ids = {"a": 0, "b": 1, "ab": 2, "bab": 3, "abab": 4}
    model = Model(Tokenizer(models.BPE(ids, merges)))
    assert model.encode("babab") == [ids["bab"], ids["ab"]]
    assert not model.rule.allows(ids["b"], ids["abab"])
    assert model.rule.allows(ids["bab"], ids["ab"])


@pytest.mark.parametrize("name", ["gpt2", "llama2", "mistral", "cl100k"])
def test_real_vocabularies(shared: Path, name: str) -> None:
    model = Model(Tokenizer.from_file(str(shared / "tokenizers" / name / "tokenizer.json")))
    tokens = np.flatnonzero(model.derivations.reachable)
    source = random.Random(3)
    for left in source.sample(tokens.tolist(), 40):
        forbidden = model.rule.forbidden(left)
        near = tokens[forbidden[tokens]].tolist()
        for right in [
            *source.sample(tokens.tolist(), 60),
            *source.sample(near, min(60, len(near))),
        ]:
            kept = model.encode(model.names[left] + model.names[right]) == [left, right]
            assert kept != forbidden[right], (model.names[left], model.names[right])
