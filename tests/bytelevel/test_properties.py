"""What holds for any text, on 2,000 random ones of every kind of tokenizer, broken UTF-8 included.

The model is a table that answers at once: a row of logits drawn at random for each remainder of a
sum over a sequence's tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.bytelevel.drawing import broken, drawn, followed, spelled
from tests.bytelevel.tokenizers import BPE
from tests.bytelevel.variants import UNIGRAM, WORD_PIECE, variant
from tests.families import FAMILIES
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.bytelevel.scores import Score
from tokxfer.bytelevel.treemodel import ROOT
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Kind

TEXTS = 2000
ROWS = 61  # of the table
BEHIND = [5]  # a context that a text goes on from
POSSIBLE = IMPOSSIBLE / 2
KINDS: dict[str, Callable[[], Tokenizer]] = FAMILIES | BPE
QUICK = ("byte_level", "sentencepiece_bpe", "unigram_bytes", "word_piece", "composed")
SAME = {"bytes", "no bytes, NFKC", "uncased"}  # as families
OTHERS = [name for name in (*UNIGRAM, *WORD_PIECE) if name not in SAME]


class TableTree:
    """A `TreeModel` whose answer depends on all tokens of a sequence, and takes one look-up."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table, self.size = table, 0
        self.rows = {ROOT: 1}

    def extend(
        self, parents: Sequence[int], tokens: Sequence[int], asked: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Put nodes into the tree."""
        first, self.size = self.size, self.size + len(tokens)
        for at, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
            self.rows[first + at] = (31 * self.rows[parent] + token) % ROWS
        wanted = range(len(tokens)) if asked is None else asked
        return self.table[[self.rows[first + at] for at in wanted]]

    def keep(self, nodes: object) -> None:
        """Forget nothing."""


@pytest.fixture(
    scope="module",
    params=[
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in (*KINDS, *OTHERS)
    ],
)
def vocabulary(request: pytest.FixtureRequest) -> ByteVocabulary:
    name = request.param
    return ByteVocabulary.from_tokenizer(KINDS[name]()) if name in KINDS else variant(name)


@pytest.fixture(scope="module")
def models(vocabulary: ByteVocabulary) -> dict[str, ByteLM]:
    """The model under both laws; one id that is not of text ends texts."""
    source = torch.Generator().manual_seed(0)
    table = 2 * torch.randn(ROWS, vocabulary.size, generator=source, dtype=torch.float64)
    stop = int(np.flatnonzero(vocabulary.kinds == Kind.SPECIAL)[0])
    return {
        law: ByteLM(
            None, vocabulary, stops=[stop], law=law, horizon=2, trees=lambda: TableTree(table)
        )
        for law in ("canonical", "all")
    }


@pytest.fixture(scope="module")
def texts(models: dict[str, ByteLM]) -> list[bytes]:
    """Texts as their tokens spell them, three of five with bytes put in, left out or cut off."""
    lm, source, found = models["canonical"], random.Random(0), list[bytes]()
    while len(found) < TEXTS:
        text = drawn(source, 4)
        try:
            data = lm.spell(text)
        except UsageError:  # there are no tokens for it
            data = text.encode()
        found.append(broken(source, data) if source.random() < 0.6 else data)
    return found


@pytest.fixture(scope="module")
def scores(models: dict[str, ByteLM], texts: list[bytes]) -> dict[str, list[Score]]:
    return {law: lm.score(texts, BEHIND, laws=True) for law, lm in models.items()}


def spells_all(lm: ByteLM) -> bool:
    return {bytes([value]) for value in range(256)} <= set(lm.canonical.tokens)


def possible(score: Score) -> bool:
    return bool((score.nats > POSSIBLE).all())


def test_encodings_of_texts_are_canonical_and_may_end(
    vocabulary: ByteVocabulary, models: dict[str, ByteLM]
) -> None:
    rule, source, tokens = models["canonical"].canonical, random.Random(1), 0
    for _ in range(TEXTS):
        text = drawn(source)
        row = vocabulary.encode(text)
        row = row[: next((at for at, t in enumerate(row) if not rule.tokens[t]), len(row))]
        state = followed(rule, row)
        assert state is not None, text
        assert rule.ends(state), text
        tokens += len(row)
    assert tokens > TEXTS


def test_what_a_text_is_spelled_by_is_possible(models: dict[str, ByteLM]) -> None:
    source, found = random.Random(2), list[bytes]()
    lm = models["canonical"]
    for _ in range(TEXTS):
        text = drawn(source, 3)
        if all(lm.canonical.tokens[token] for token in lm.vocabulary.encode(text)):
            found.append(lm.spell(text))
    assert len(found) > TEXTS / 20
    for law in models.values():
        for score in law.score(found):
            assert possible(score), score.data


def test_texts_are_possible_as_far_as_tokens_spell_them(
    models: dict[str, ByteLM], texts: list[bytes], scores: dict[str, list[Score]]
) -> None:
    """Under the law `all`; under the canonical one, where nothing is normalized or dropped, too."""
    lm = models["all"]
    whole, tokens = spells_all(lm), lm.canonical.tokens
    for text, score in zip(texts, scores["all"], strict=True):
        assert possible(score) == (whole or spelled(tokens, text)), text
    assert any(map(possible, scores["all"]))
    if whole and not lm.vocabulary.normalizes:
        assert all(map(possible, scores["canonical"]))


def test_laws_sum_to_one_as_long_as_anything_is_possible(scores: dict[str, list[Score]]) -> None:
    for found in scores.values():
        for score in found:
            assert score.laws is not None
            may = torch.cat([torch.tensor([True]), (score.nats > POSSIBLE).cumprod(0).bool()])
            sums = score.laws.exp().sum(dim=1)
            ends = score.laws[may].amax(dim=1) < POSSIBLE  # nothing at all may come behind
            assert ((sums[may] - 1).abs()[~ends] < 1e-9).all(), score.data
            assert (sums[~may] == 0).all(), score.data


def test_all_sequences_have_no_less_mass_than_the_canonical_ones(
    scores: dict[str, list[Score]],
) -> None:
    more = 0
    for every, own in zip(scores["all"], scores["canonical"], strict=True):
        assert every.mass >= own.mass - 1e-9, own.data
        more += every.mass > own.mass + 1e-6
    assert more > 20


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_a_cut_anywhere_gives_the_laws_of_one_pass(
    models: dict[str, ByteLM], texts: list[bytes], scores: dict[str, list[Score]], law: str
) -> None:
    """And the mass of a text is that of its beginning with its last byte: the chain rule.

    The law `all` leaves out what has strayed further back than the horizon since.
    """
    source = random.Random(3)
    for text, score in zip(texts, scores[law], strict=True):
        cut, state = source.randint(0, len(text)), models[law].start(BEHIND)
        laws = [state.law]
        for part in (text[:cut], text[cut:]):
            laws += state.push(part)
        assert score.laws is not None
        found = torch.stack([one.nats for one in laws])
        torch.testing.assert_close(found, score.laws[:, :256], rtol=0, atol=1e-9)
        assert [one.stop for one in laws] == pytest.approx(score.laws[:, 256].tolist(), abs=1e-9)
        assert math.isclose(laws[-1].mass, score.mass, abs_tol=1e-9), text
        for before, byte, after in zip(laws, text, laws[1:], strict=False):
            joint = float(before.found.joint[byte])
            if law == "canonical":
                assert math.isclose(after.mass, joint, abs_tol=1e-9), text
            assert after.mass <= joint + 1e-9, text
