"""Masses of bytes equal their enumeration over token sequences."""

from __future__ import annotations

import pytest
import torch

from tests.bytelevel.enumeration import RandomModel, canonical, covers, spelled
from tests.bytelevel.tokenizers import BPE
from tests.families import FAMILIES
from tokxfer.bytelevel.frontier import Frontier
from tokxfer.bytelevel.mass import ByteMasses, byte_masses
from tokxfer.bytelevel.rules import Rule, rule_of
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.vocabulary import ByteVocabulary

KINDS = {
    name: FAMILIES[name]
    for name in (
        "byte_level",
        "byte_level_groups",
        "sentencepiece_bpe",
        "gemma",
        "unigram_bytes",
        "word_piece",
    )
} | {name: BPE[name] for name in ("entries", "composed", "grouped", "superword")}
TEXTS = ["the dog", "don't", " 12", "a\n\nb", "x  y", "fox's", "<table", "\n\n\n", "12345"]


@pytest.fixture(scope="module", params=KINDS)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(KINDS[request.param]())


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    return rule_of(vocabulary)


def measured(vocabulary: ByteVocabulary, rule: Rule, text: bytes) -> tuple[ByteMasses, RandomModel]:
    model = RandomModel(vocabulary.size)
    tokens = TokenShares(rule, [0])
    tree = CoverTree.of(text, Frontier(rule, tokens.whole))
    nats = torch.stack([model.nats(node.path()) for node in tree.nodes])
    return byte_masses(tree, tokens, nats), model


@pytest.mark.parametrize("text", TEXTS)
def test_masses_are_sums_over_canonical_covers(
    vocabulary: ByteVocabulary, rule: Rule, text: str
) -> None:
    data = spelled(vocabulary, text)
    masses, model = measured(vocabulary, rule, data)
    for size in range(1, len(data) + 1):
        rows = [row for row in covers(vocabulary, data[:size]) if canonical(vocabulary, row)]
        expected = sum(model.probability(row) for row in rows)
        open_rows = [r for r in covers(vocabulary, data[:size]) if canonical(vocabulary, r) is None]
        unknown = sum(model.probability(row) for row in open_rows)
        found = float(masses.beginnings[size].exp())
        assert expected - 1e-9 <= found <= expected + unknown + 1e-9, size
        if size < len(data):
            step = float(masses.longer[size - 1, data[size - 1]].exp())
            assert step == pytest.approx(found, rel=1e-9)


def test_conditionals_sum_to_one_and_masses_leak(vocabulary: ByteVocabulary, rule: Rule) -> None:
    data = b" the quick dog isn't 12 \xe4\xb8\xad\xff!\n\n  x"
    if vocabulary.spelling.continuation:
        data = spelled(vocabulary, "The quick dog isn't 12!\n\n  x")
    masses, _ = measured(vocabulary, rule, data)
    told = masses.conditionals()
    torch.testing.assert_close(told.exp().sum(dim=1), torch.ones(len(told), dtype=torch.float64))
    after = torch.cat([masses.longer, masses.stopped[:, None]], dim=1).logsumexp(dim=1)
    assert (after <= masses.beginnings + 1e-9).all()
    assert float(masses.beginnings[0].exp()) == pytest.approx(1.0)
    assert torch.isfinite(masses.beginnings).all()


def test_there_is_about_one_node_a_byte(vocabulary: ByteVocabulary, rule: Rule) -> None:
    text = spelled(
        vocabulary, "The quick brown fox jumps over the lazy dog, and it's 2024.\n\nDon't  go."
    )
    tree = CoverTree.of(text, Frontier(rule, TokenShares(rule, []).whole))
    words = text.count(b" ") if vocabulary.spelling.continuation else 0
    assert len(text) - 1.2 * words <= len(tree) <= 1.3 * len(text)  # no token is a word's space
    seen = tree.ancestors()
    for number, node in enumerate(tree.nodes):
        assert seen[number].sum() == node.depth + 1
        data = b"".join(vocabulary.tokens[token] for token in node.path())
        assert data == text[: node.offset]


def test_long_texts_do_not_underflow(vocabulary: ByteVocabulary, rule: Rule) -> None:
    text = spelled(vocabulary, "The quick brown fox isn't 1234 times as lazy. " * 20)
    masses, _ = measured(vocabulary, rule, text)
    assert float(masses.beginnings[-1]) < -1000
    assert torch.isfinite(masses.beginnings).all()
