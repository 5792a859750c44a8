"""Streams: the same laws however a text is cut, and bounds that hold where heads are left out."""

from __future__ import annotations

import math
import random
import time
import tracemalloc
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.bytelevel.enumeration import RandomModel, canonical, covers, stream
from tests.bytelevel.functions import Reader
from tests.families import FAMILIES
from tests.families import TEXT as LONG
from tokxfer.bytelevel import frontier
from tokxfer.bytelevel.asking import advance
from tokxfer.bytelevel.frontier import Frontier
from tokxfer.bytelevel.horizon import HorizonFrontier
from tokxfer.bytelevel.law import IMPOSSIBLE, STOP
from tokxfer.bytelevel.mass import byte_masses
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.rules.everything import EverythingRule
from tokxfer.bytelevel.stream import Stream
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.bytelevel.treemodel import ROOT
from tokxfer.vocabulary import ByteVocabulary

TEXT = (
    " The quick dog isn't 1234 years\n\n\nold,  naïve \xff\x80 漢字 <table> x".encode(
        "latin-1", "ignore"
    )
    + " 漢字 and then the others".encode()
)
PARTS = (0.5, 0.1, 1e-2, 1e-4)


@pytest.fixture(
    scope="module", params=["byte_level", "byte_level_groups", "sentencepiece_bpe", "gemma"]
)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    return ByteVocabulary.from_tokenizer(FAMILIES[request.param]())


@pytest.fixture(scope="module")
def tokens(vocabulary: ByteVocabulary) -> TokenShares:
    return TokenShares(rule_of(vocabulary), [0])


def cut(data: bytes, draw: random.Random, times: int) -> list[bytes]:
    places = [0, *sorted(draw.sample(range(1, len(data)), times)), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def one_pass(tokens: TokenShares, model: RandomModel, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities at every place and log-masses of every beginning."""
    tree = CoverTree.of(data, Frontier(tokens.rule, tokens.whole))
    nats = torch.stack([model.nats(node.path()) for node in tree.nodes])
    masses = byte_masses(tree, tokens, nats)
    return masses.conditionals().numpy(), masses.beginnings.numpy()


def test_any_cut_gives_the_laws_of_one_pass(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    model, draw = RandomModel(vocabulary.size), random.Random(0)
    laws, masses = one_pass(tokens, model, TEXT)
    for times in (0, 1, 5, 20, len(TEXT) - 1):
        reader = Reader(tokens, model.nats)
        found = reader.read(*cut(TEXT, draw, times))
        assert np.abs(np.stack([law.nats for law in found]) - laws).max() < 1e-10
        assert np.abs(np.array([law.mass for law in found]) - masses).max() < 1e-10
        assert all(law.missing == -math.inf for law in found)
        assert len(reader.tree.seen) == reader.stream.asked - 1 < 1.4 * len(TEXT)


def test_laws_are_sums_over_canonical_covers(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    model, data = RandomModel(vocabulary.size), b" a\nb"
    law = Reader(tokens, model.nats).read(*(data[at : at + 1] for at in range(4)))[-1]
    judged = {tuple(row): canonical(vocabulary, row) for row in covers(vocabulary, data + b"t")}
    surely = sum(model.probability(row) for row, told in judged.items() if told)
    maybe = sum(model.probability(row) for row, told in judged.items() if told is not False)
    assert surely > 0
    assert surely - 1e-12 <= math.exp(law.joint[ord("t")]) <= maybe + 1e-12


@pytest.mark.parametrize("epsilon", PARTS)
def test_bounds_hold_and_nothing_possible_is_lost(
    vocabulary: ByteVocabulary, tokens: TokenShares, epsilon: float
) -> None:
    model, draw = RandomModel(vocabulary.size, spread=6.0), random.Random(1)
    laws, masses = one_pass(tokens, model, TEXT)
    asked, known = [], 0
    for times in (0, 2, 10, len(TEXT) - 1):
        reader = Reader(tokens, model.nats, epsilon=epsilon)
        found = reader.read(*cut(TEXT, draw, times))
        asked.append(reader.stream.asked)
        for law, exact, mass in zip(found, laws, masses, strict=True):
            lower, upper = law.bounds
            assert (lower <= exact + 1e-9).all()
            assert (exact <= upper + 1e-9).all()
            assert (lower <= law.nats + 1e-9).all()
            assert (law.nats <= upper + 1e-9).all()
            assert law.mass - 1e-9 <= mass <= np.logaddexp(law.mass, law.missing) + 1e-9
            assert ((exact > -1e29) <= (law.nats > -1e29)).all()
            assert np.logaddexp.reduce(law.nats) == pytest.approx(0, abs=1e-9)
            lost = np.logaddexp.reduce(law.guessed)
            assert lost < law.mass + math.log(10 * epsilon), "of each node at most epsilon"
            known += law.missing == -math.inf < lost
    assert known, "the mass may be known where the next byte is not"
    whole = Reader(tokens, model.nats).read(TEXT) and len(laws)
    assert max(asked) < 1.4 * whole
    assert epsilon < 0.1 or max(asked) < 0.95 * len(TEXT)


def test_fewer_heads_are_asked_the_more_may_be_missing(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    model = RandomModel(vocabulary.size, spread=6.0)
    single = [TEXT[at : at + 1] for at in range(len(TEXT))]
    counts, widths = [], []
    for epsilon in (0.0, 1e-4, 1e-2, 0.3):
        reader = Reader(tokens, model.nats, epsilon=epsilon)
        laws = reader.read(*single)
        counts.append(reader.stream.asked)
        widths.append(np.mean([np.exp(law.bounds[1]) - np.exp(law.bounds[0]) for law in laws]))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.9 * counts[0]
    assert widths == sorted(widths)
    assert widths[0] < 1e-12


@pytest.mark.parametrize("cuts", [(1, 2, 3, 4, 5), (1, 2, 3, 5), (3, 4, 5), (5,)])
def test_a_head_left_out_is_asked_once_the_text_needs_it(
    vocabulary: ByteVocabulary, tokens: TokenShares, cuts: tuple[int, ...]
) -> None:
    (likely,) = stream(vocabulary, " the")
    first, *_ = stream(vocabulary, " thX")
    assert first != likely
    plain = RandomModel(vocabulary.size)

    def answer(row: list[int]) -> torch.Tensor:
        nats = plain.nats(row).clone()
        if not row:
            nats[likely] = 12.0
        return nats

    data = b" thX!"
    exact = Reader(tokens, answer).read(data)
    reader = Reader(tokens, answer, epsilon=1e-3)
    asked = []
    for start, stop in pairwise((0, *cuts)):
        reader.read(data[start:stop])
        asked.append([first] in reader.tree.seen)
    assert asked[-1]
    if cuts[:3] == (1, 2, 3):
        assert not asked[cuts.index(3)], "unlikely while ' the' may come"
        assert -math.inf < reader.laws[3].missing < reader.laws[3].mass + math.log(2e-3)
    assert np.abs(reader.laws[-1].nats - exact[-1].nats).max() < 0.1
    for law, whole in zip(reader.laws, exact, strict=True):
        lower, upper = law.bounds
        assert (lower - 1e-9 <= whole.nats).all()
        assert (whole.nats <= upper + 1e-9).all()


def test_what_cannot_come_is_said_to_be_impossible(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    never = torch.tensor([b"q" in spelled for spelled in vocabulary.tokens])
    model = RandomModel(vocabulary.size)

    def answer(row: list[int]) -> torch.Tensor:
        return model.nats(row).masked_fill(never, -torch.inf)

    for epsilon in (0.0, 0.1):
        for parts in ([b" the qu", b"ick"], [b" the quick"], [b" the ", b"q", b"u"]):
            reader = Reader(tokens, answer, epsilon=epsilon)
            laws = reader.read(*parts)
            assert laws[5].nats[ord("q")] == IMPOSSIBLE
            assert laws[5].bounds[1][ord("q")] == IMPOSSIBLE or epsilon > 0
            for law in laws[6:]:
                assert law.mass == -math.inf or law.missing > -math.inf
                for told in (law.nats, *law.bounds, law.stop_nats):
                    assert not np.isnan(told).any()
                if law.missing == -math.inf:
                    assert (law.nats == IMPOSSIBLE).all()
                    assert (law.stop_nats == IMPOSSIBLE).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_what_cannot_come_may_go_on(
    vocabulary: ByteVocabulary,
    tokens: TokenShares,
    epsilon: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frontier, "FOLDED", 1)
    never = torch.tensor([b"q" in spelled for spelled in vocabulary.tokens])
    nats = RandomModel(vocabulary.size).nats([]).masked_fill(never, -torch.inf)
    for size in (1, 6):
        reader = Reader(tokens, lambda row: nats, epsilon=epsilon)
        data = b" the quick dog and then the others"
        laws = reader.read(*(data[at : at + size] for at in range(0, len(data), size)))
        assert not np.isnan(laws[-1].nats).any()
        assert laws[-1].mass == -math.inf


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_stops_make_up_the_end(
    vocabulary: ByteVocabulary, tokens: TokenShares, epsilon: float
) -> None:
    tokens = TokenShares(tokens.rule, [2, 0, 1])
    model = RandomModel(vocabulary.size, spread=4.0)
    reader = Reader(tokens, model.nats, epsilon=epsilon)
    for law in reader.read(*(TEXT[at : at + 1] for at in range(30))):
        assert law.stop_nats.shape == (3,)
        told = np.logaddexp.reduce(law.stop_nats)
        assert max(told, IMPOSSIBLE) == pytest.approx(law.nats[STOP], rel=1e-9)
    if epsilon == 0:
        first = reader.laws[0].stop_nats
        shares = model.nats([])[[2, 0, 1]].numpy()
        assert np.allclose(first - first[0], shares - shares[0])


def test_a_stop_token_spells_nothing(vocabulary: ByteVocabulary, tokens: TokenShares) -> None:
    (ending,) = stream(vocabulary, " the")
    ended = TokenShares(tokens.rule, [ending, ending])
    assert ended.stops == [ending]
    model = RandomModel(vocabulary.size)
    law, both = Reader(ended, model.nats).laws[0], Reader(tokens, model.nats).laws[0]
    share = float(model.nats([])[ending].exp())
    assert math.exp(law.joint[STOP]) == pytest.approx(share)
    gone = np.exp(both.joint[:STOP]) - np.exp(law.joint[:STOP])
    assert gone[ord(" ")] == pytest.approx(share)
    assert gone.sum() == pytest.approx(share)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_single_precision_loses_nothing_that_is_possible(
    vocabulary: ByteVocabulary, tokens: TokenShares, dtype: torch.dtype
) -> None:
    tokens = TokenShares(EverythingRule(tokens.rule), [0])
    favourite = tokens.order.ids[-1]

    def answer(row: list[int]) -> torch.Tensor:
        logits = torch.linspace(-400, 0, vocabulary.size).to(dtype)
        logits[favourite] = 200
        return logits

    exact = Reader(tokens, lambda row: answer(row).double()).read(b" a b")
    for parts in ([b" a b"], [b" ", b"a", b" ", b"b"]):
        reader = Reader(tokens, answer)
        for law, expected in zip(reader.read(*parts), exact, strict=True):
            possible = expected.nats > -1e29
            assert possible.sum() > (1 if law is reader.laws[0] else 200)
            assert np.abs(law.nats - expected.nats)[possible].max() < 1e-3
            assert (law.nats[~possible] == IMPOSSIBLE).all()
            assert law.nats.min() < -300


def test_nothing_is_read_twice_and_dead_ends_are_forgotten(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    model = RandomModel(vocabulary.size, spread=5.0)
    for epsilon in (0.0, 0.05):
        reader = Reader(tokens, model.nats, epsilon=epsilon)
        for at in range(0, len(TEXT), 3):
            reader.read(TEXT[at : at + 3])
            assert len(reader.tree.rows) < 40
        rows = [tuple(row) for row in reader.tree.seen]
        assert len(rows) == len(set(rows))


def test_an_empty_part_says_where_a_text_stands(
    vocabulary: ByteVocabulary, tokens: TokenShares
) -> None:
    reader = Reader(tokens, RandomModel(vocabulary.size).nats)
    before = reader.read(b" the do")[-1]
    again = reader.read(b"")[-1]
    assert np.array_equal(before.nats, again.nats)
    assert before.mass == again.mass
    whole = Reader(tokens, RandomModel(vocabulary.size).nats).read(b" the dog")
    assert np.abs(reader.read(b"g")[-1].nats - whole[-1].nats).max() < 1e-10


class FlatTree:
    """Answers everywhere alike and keeps nothing."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits, self.size = logits, 0

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        self.size += len(tokens)
        return self.logits.expand(len(tokens) if asked is None else len(asked), -1)

    def keep(self, nodes: Iterable[int]) -> None:
        for _ in nodes:
            pass


@pytest.mark.parametrize(("law", "epsilon"), [("canonical", 0.01), ("all", 0.0)])
def test_a_long_text_takes_no_more_time_or_memory_a_byte(law: str, epsilon: float) -> None:
    vocabulary = ByteVocabulary.from_tokenizer(FAMILIES["byte_level"]())
    rule = rule_of(vocabulary)
    tokens = TokenShares(rule if law == "canonical" else EverythingRule(rule), [0])
    going = (
        Frontier(rule, tokens.whole)
        if law == "canonical"
        else HorizonFrontier(tokens.rule, tokens.whole, rule, 1)
    )
    tree = FlatTree(torch.randn(vocabulary.size, generator=torch.Generator().manual_seed(0)))
    stream = Stream(tokens, ROOT, tree.logits, going, epsilon)
    text = LONG.encode()[:600]
    rounds = 6 if law == "canonical" else 4
    times, sizes = [], []
    tracemalloc.start()
    for _ in range(rounds):
        start = time.process_time()
        for at in range(0, len(text), 24):
            advance(tree, [stream], [text[at : at + 24]])
        times.append(time.process_time() - start)
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[-1] - sizes[1] < 40 * len(text) * (rounds - 2)
    assert times[-1] < 3 * times[1] + 0.2
    for live in going.live:
        spelled = b"".join(vocabulary.tokens[token] for token in live.node.path())
        assert spelled == (text * rounds)[: live.node.offset]
        assert len(live.node.path()) == live.node.depth


def test_tokens_that_all_share_stay_known(
    vocabulary: ByteVocabulary, tokens: TokenShares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontier, "FOLDED", 2)
    data, model = TEXT * 4, RandomModel(vocabulary.size, spread=4.0)
    for epsilon, size in ((0.0, 50), (0.3, 7), (0.9, 1)):
        reader = Reader(tokens, lambda row: model.nats(row[-3:]), epsilon=epsilon)
        plain = Frontier(tokens.rule, tokens.whole)
        for at in range(0, len(data), size):
            reader.read(data[at : at + size])
            for byte in data[at : at + size]:
                plain.step(byte)
            found = [live.node.path() for live in reader.stream.frontier.live]
            assert found == [live.node.path() for live in plain.live]
        above, nodes = reader.stream.frontier.live[0].node, 0
        while above.parent is not None:
            above, nodes = above.parent, nodes + 1
        assert nodes < 20 < plain.live[0].node.depth
