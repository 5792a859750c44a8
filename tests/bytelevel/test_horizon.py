"""The law of all sequences: every cover within the horizon, canonical beginnings beyond it."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.bytelevel.enumeration import RandomModel, canonical, covers, spelled
from tests.bytelevel.functions import Reader
from tests.bytelevel.tokenizers import BPE
from tests.bytelevel.variants import variant
from tests.families import FAMILIES
from tests.families import TEXT as LONG
from tokxfer.bytelevel.frontier import Frontier, Node
from tokxfer.bytelevel.horizon import HorizonFrontier
from tokxfer.bytelevel.law import STOP
from tokxfer.bytelevel.mass import byte_masses
from tokxfer.bytelevel.rules import EverythingRule, Rule, rule_of
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.vocabulary import ByteVocabulary

TEXTS = [b" the", b"isn't", b"  x\n", b"\n\n\nab", b" 2024", "né!".encode(), b"\xff\xc3a"]
HORIZONS = (0, 1, 3, 9)
LONG_TEXT = b" Then the girl's 2024 forest,\n\n was  x"
LONG_WORDS = b" then the girl ' s 2024 forest , was the fox"


@pytest.fixture(scope="module", params=[*FAMILIES, *BPE])
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer((FAMILIES | BPE)[request.param]())


@pytest.fixture(scope="module")
def rule(vocabulary: ByteVocabulary) -> Rule:
    """What lies beyond the horizon, of texts that a normalizer would change, too."""
    return rule_of(vocabulary, normalized=False)


@pytest.fixture(scope="module")
def text(vocabulary: ByteVocabulary, rule: Rule) -> bytes:
    """Some text that the vocabulary's tokens spell."""
    if vocabulary.spelling.continuation is not None:
        return LONG_WORDS
    return b"".join(LONG_TEXT[at : at + 1] for at in range(len(LONG_TEXT))
                    if LONG_TEXT[at : at + 1] in rule.tokens)  # fmt: skip


def spells_all(rule: Rule) -> bool:
    return {bytes([value]) for value in range(256)} <= set(rule.tokens)


@pytest.fixture(scope="module")
def tokens(rule: Rule) -> TokenShares:
    return TokenShares(EverythingRule(rule), [0])


def frontier(
    tokens: TokenShares, rule: Rule, horizon: int, *, begins: bool = True
) -> HorizonFrontier:
    return HorizonFrontier(tokens.rule, tokens.whole, rule, horizon, begins=begins)


def counts(rule: Rule, row: list[int], far: int) -> bool:
    """Whether the tokens of a row that end no later than some place are a canonical sequence."""
    state, offset = rule.behind, 0
    for token in row:
        offset += len(rule.tokens[token])
        if offset > far:
            return True
        following = rule.follow(state, token)
        if following is None:
            return False
        state = following
    return True


def expected(
    vocabulary: ByteVocabulary, rule: Rule, text: bytes
) -> dict[int, tuple[float, np.ndarray]]:
    """By enumeration, for each horizon the mass of a text, and that of it with each outcome."""
    model = RandomModel(vocabulary.size)
    mass = dict.fromkeys(HORIZONS, 0.0)
    joint = {horizon: np.zeros(STOP + 1) for horizon in HORIZONS}
    firsts = np.array([token[0] if token else -1 for token in rule.tokens])
    values = sorted({*firsts.tolist()} - {-1})
    for row in covers(vocabulary, text):
        share = model.probability(row) if row else 1.0
        spelled = b"".join(vocabulary.tokens[token] for token in row)
        parts = np.zeros(STOP + 1)
        if len(spelled) > len(text):
            parts[spelled[len(text)]] = share
        else:
            following = share * model.nats(row).exp().numpy()
            parts[STOP] = following[0]
            parts[values] = [following[firsts == value].sum() for value in values]
        for horizon in HORIZONS:
            if counts(rule, row, len(text) - horizon):
                mass[horizon] += share
                joint[horizon] += parts
    return {horizon: (mass[horizon], joint[horizon]) for horizon in HORIZONS}


@pytest.mark.parametrize("text", TEXTS)
def test_masses_are_sums_over_covers(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares, text: bytes
) -> None:
    if vocabulary.spelling.continuation is not None:
        text = spelled(vocabulary, text.decode("ascii", "ignore").lower())
    known = expected(vocabulary, rule, text)
    for horizon in HORIZONS:
        behind = frontier(tokens, rule, horizon, begins=text.startswith(b" "))
        law = Reader(tokens, RandomModel(vocabulary.size).nats, behind).read(text)[-1]
        mass, joint = known[horizon]
        assert math.exp(law.mass) == pytest.approx(mass, rel=1e-9), horizon
        np.testing.assert_allclose(np.exp(law.joint), joint, rtol=1e-9, atol=1e-300)


def test_a_wider_horizon_takes_in_more_and_no_less_than_what_is_canonical(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares, text: bytes
) -> None:
    model = RandomModel(vocabulary.size)
    plain = Reader(TokenShares(rule, [0]), model.nats).read(text)
    masses = [[law.mass for law in plain]]
    for horizon in (0, 1, 2, 3):
        laws = Reader(tokens, model.nats, frontier(tokens, rule, horizon)).read(text)
        masses.append([law.mass for law in laws])
    steps = np.diff(masses, axis=0)
    assert (steps >= -1e-9).all()
    assert (steps[1:] > 1e-9).any(axis=1).all()


def test_any_cut_gives_the_laws_of_one_pass(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares, text: bytes
) -> None:
    model, text, draw = RandomModel(vocabulary.size), text[:19], random.Random(0)
    tree = CoverTree.of(text, frontier(tokens, rule, 2))
    nats = torch.stack([model.nats(node.path()) for node in tree.nodes])
    masses = byte_masses(tree, tokens, nats)
    laws = masses.conditionals().numpy()
    for times in (0, 3, len(text) - 1):
        places = [0, *sorted(draw.sample(range(1, len(text)), times)), len(text)]
        parts = [text[a:b] for a, b in pairwise(places)]
        reader = Reader(tokens, model.nats, frontier(tokens, rule, 2))
        found = reader.read(*parts)
        assert np.abs(np.stack([law.nats for law in found]) - laws).max() < 1e-10
        assert abs(found[-1].mass - float(masses.beginnings[-1])) < 1e-10


@pytest.mark.parametrize("epsilon", [0.3, 1e-2])
def test_bounds_hold_where_heads_are_left_out(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares, text: bytes, epsilon: float
) -> None:
    model, text = RandomModel(vocabulary.size, spread=5.0), text[:16]
    whole = Reader(tokens, model.nats, frontier(tokens, rule, 3))
    exact = whole.read(text)
    for size in (1, 5, 20):
        reader = Reader(tokens, model.nats, frontier(tokens, rule, 3), epsilon)
        found = reader.read(*(text[at : at + size] for at in range(0, len(text), size)))
        for law, real in zip(found, exact, strict=True):
            lower, upper = law.bounds
            assert (lower - 1e-9 <= real.nats).all()
            assert (real.nats <= upper + 1e-9).all()
            assert ((real.nats > -1e29) <= (law.nats > -1e29)).all()
        assert reader.stream.asked < whole.stream.asked * (0.8 if epsilon > 0.1 else 1)


@pytest.mark.parametrize(
    "text",
    [
        LONG.encode()[:500],
        random.Random(0).randbytes(500),
        b" " * 500,
        b"a" * 500,
        b"\n\t" * 250,
        b"1" * 500,
        ("漢字🙂é" * 50).encode()[:500],
        b"x<table></s><s>\n\n" * 30,
    ],
    ids=["prose", "random", "spaces", "letters", "lines", "digits", "characters", "specials"],
)
def test_sequences_do_not_grow_in_number_with_a_text(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares, text: bytes
) -> None:
    if not spells_all(rule):
        pytest.skip("it has no tokens for some bytes")
    going, sizes = frontier(tokens, rule, 3, begins=False), []
    for byte in text:
        here = going.step(byte)
        sizes.append(len(going.live))
        assert {node.offset for node in here} <= {going.offset}
    assert max(sizes) < 150
    assert sum(sizes[250:]) < 2 * sum(sizes[:250]) + 500
    assert min(sizes) > 0


def test_a_horizon_of_nothing_frees_the_last_token_alone(
    vocabulary: ByteVocabulary, rule: Rule, tokens: TokenShares
) -> None:
    going, plain = frontier(tokens, rule, 0), Frontier(rule, tokens.whole)
    for byte in LONG.encode()[:200]:
        paths = {tuple(node.path()) for node in going.step(byte)}
        assert paths == {tuple(node.path()) for node in plain.step(byte)}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bytes, white space lost", b"a  b \t\n c\xe3\x80\x80d   e" * 20),
        ("uncased", b"abcdabcd etothe  the   x" * 20),
        ("short words", b" transplant abcdefghabcdefgh" * 20),
    ],
)
def test_what_tokens_spell_is_possible_though_the_tokenizer_never_writes_it(
    kind: str, text: bytes
) -> None:
    vocabulary = variant(kind)
    rule = rule_of(vocabulary)
    text = b"".join(
        text[at : at + 1] for at in range(len(text)) if text[at : at + 1] in rule.tokens
    )
    tokens = TokenShares(EverythingRule(rule), [0])
    plain = Frontier(rule, TokenShares(rule, [0]).whole, Node(None, -1, 0, 0, rule.behind))
    for horizon in (0, 3):
        going, sizes = frontier(tokens, rule, horizon, begins=False), []
        for byte in text:
            going.step(byte)
            plain.step(byte)
            sizes.append(len(going.live))
        assert min(sizes) > 0
        assert sum(sizes[-200:]) < 1.5 * sum(sizes[:200]) + 50
    assert not plain.live


ODD = [
    b" <s>a</s> <unk> <pad>[CLS] [UNK] a ##s",
    b"<0x41> <|endoftext|><pad>\n<0x0A>",
    "\u2581\u2581a \u0120b \U00010ec3a \U00016131".encode(),
    *(random.Random(seed).randbytes(40) for seed in range(3)),
]


@pytest.mark.parametrize("text", ODD, ids=["specials", "bytes", "marks", "a", "b", "c"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_no_text_is_impossible_where_every_byte_has_a_token(family: str, text: bytes) -> None:
    vocabulary = ByteVocabulary.from_tokenizer(FAMILIES[family]())
    rule = rule_of(vocabulary)
    if {bytes([value]) for value in range(256)} - set(rule.tokens):
        pytest.skip("it has none for some bytes")
    every = TokenShares(EverythingRule(rule), [0])
    plain = Frontier(rule, TokenShares(rule, [0]).whole, Node(None, -1, 0, 0, rule.behind))
    for going in (plain, frontier(every, rule, 3, begins=False)):
        for at, byte in enumerate(text):
            here = going.step(byte)
            assert here or going.live, f"nothing goes on behind {text[: at + 1]!r}"


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece_bpe", "unigram_bytes"])
def test_what_lies_beyond_the_horizon_is_what_the_tokenizer_writes(family: str) -> None:
    """The rule under test decides nothing here: the tokenizer is asked."""
    vocabulary = ByteVocabulary.from_tokenizer(FAMILIES[family]())
    rule = rule_of(vocabulary)
    tokens, model = TokenShares(EverythingRule(rule), [0]), RandomModel(vocabulary.size)
    for text in (b" the 20", b" x  \n a"):
        going = frontier(tokens, rule, 2)
        found = Reader(tokens, model.nats, going).read(text)[-1]
        mass = 0.0
        for row in covers(vocabulary, text):
            ends = np.cumsum([len(rule.tokens[token]) for token in row])
            far = row[: int((ends <= len(text) - 2).sum())]
            if canonical(vocabulary, far):
                mass += model.probability(row)
        assert math.exp(found.mass) == pytest.approx(mass, rel=1e-9)
