"""TokenAdapt equals its formulas, written out token by token, across tokenizer families."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.embeddings.problems import make_problem
from tests.embeddings.test_methods import CYCLE, ordinary_mean, rebuilt
from tokxfer.embeddings import (
    Problem,
    TokenAdaptGlobal,
    TokenAdaptHybrid,
    TokenAdaptLocal,
    tokenadapt,
)
from tokxfer.embeddings.tokenadapt import blend
from tokxfer.embeddings.tokentext import token_text
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Kind, Origin, VocabularyMap

METHODS = [TokenAdaptLocal, TokenAdaptGlobal, TokenAdaptHybrid]


class Drawn:
    """An encoder whose directions are drawn from the text, spaces stripped as MiniLM does."""

    def direction(self, text: str) -> np.ndarray:
        seed = int(hashlib.sha256(text.strip().encode()).hexdigest()[:8], 16)
        row = np.random.default_rng(seed).standard_normal(16).astype(np.float32) + 0.5
        return row / np.linalg.norm(row)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self.direction(text) for text in texts], dtype=np.float32).reshape(-1, 16)

    def nearest(
        self, queries: Sequence[str], keys: Sequence[str], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        cosines = self.encode(queries) @ self.encode(keys).T
        places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return places, np.take_along_axis(cosines, places, axis=1)


class Asleep(Drawn):
    """An encoder that must not be asked."""

    def direction(self, text: str) -> np.ndarray:
        raise AssertionError(f"asked for {text!r}")


def posed(base: str, donor: str, **options: object) -> Problem:
    problem = make_problem(base, donor, weights=False, **options)
    return dataclasses.replace(problem, encoder=Drawn())


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def likeness(left: bytes, right: bytes) -> float:
    encoder = Drawn()
    return float(encoder.direction(token_text(left)) @ encoder.direction(token_text(right)))


def local_row(problem: Problem, token: bytes, temperature: float) -> torch.Tensor | None:
    ids = problem.base.readings([token])[0]
    if not ids:
        return None
    pieces = [problem.base.tokens[piece] for piece in ids]
    alike = softmax([likeness(token, piece) for piece in pieces])
    lengths = [len(piece.decode(errors="replace")) for piece in pieces]
    scores = [(u + n / sum(lengths)) / 2 / temperature for u, n in zip(alike, lengths, strict=True)]
    return torch.tensor(softmax(scores)) @ problem.base_rows[ids]


def global_row(
    problem: Problem, token: bytes, k: int, t: float, floor: float
) -> torch.Tensor | None:
    ids: dict[bytes, int] = {}
    for wanted in (False, True):
        for base_id, (kind, spelled) in enumerate(
            zip(problem.base.kinds, problem.base.tokens, strict=True)
        ):
            ordinary = kind not in (Kind.SPECIAL, Kind.UNUSED)
            if ordinary and (kind == Kind.BYTE) == wanted:
                ids.setdefault(spelled, base_id)
    starts = token.startswith(b" ")
    alike = {other: likeness(token, other) for other in ids}
    ranked = sorted(
        ids,
        key=lambda o: (-round(alike[o], 3), o.startswith(b" ") != starts, -alike[o]),
    )
    near = [other for other in ranked[:k] if alike[other] >= floor]
    if not near:
        return None
    weights = torch.tensor(softmax([alike[other] / t for other in near]))
    return weights @ problem.base_rows[[ids[other] for other in near]]


@pytest.mark.parametrize(("base", "donor"), CYCLE)
@pytest.mark.parametrize("temperature", [0.3, 0.05])
def test_local_rows_are_pieces_weighed_by_likeness_and_length(
    base: str, donor: str, temperature: float
) -> None:
    problem = posed(base, donor)
    rows = rebuilt(problem, TokenAdaptLocal(temperature=temperature))
    for token in problem.missing.tolist():
        expected = local_row(problem, problem.donor.tokens[token], temperature)
        expected = ordinary_mean(problem) if expected is None else expected
        torch.testing.assert_close(rows[token], expected, rtol=1e-4, atol=1e-5)


def differing(rows: torch.Tensor, tokens: list[int], expected: list[torch.Tensor]) -> list[int]:
    return [
        token
        for token, row in zip(tokens, expected, strict=True)
        if not torch.allclose(rows[token], row, rtol=1e-4, atol=1e-5)
    ]


@pytest.mark.parametrize(("base", "donor"), CYCLE)
@pytest.mark.parametrize("matrix", ["input", "output", "tied"])
def test_hybrid_rows_mix_pieces_and_the_nearest_tokens(base: str, donor: str, matrix: str) -> None:
    problem = posed(base, donor, matrix=matrix)
    method = TokenAdaptHybrid(share=0.4, k=2, temperature=0.2, threshold=0.55)
    alone = TokenAdaptGlobal(k=2, temperature=0.2, threshold=0.55)
    rows, near_rows = rebuilt(problem, method), rebuilt(problem, alone)
    tokens = problem.missing.tolist()[::15]
    mixed, near_only = [], []
    for token in tokens:
        spelled = problem.donor.tokens[token]
        local = local_row(problem, spelled, 0.2)
        near = global_row(problem, spelled, 2, 0.2, 0.55)
        near_only.append(ordinary_mean(problem) if near is None else near)
        both = [row for row in (local, near) if row is not None]
        mixed.append(
            0.6 * both[0] + 0.4 * both[1] if len(both) == 2 else [*both, ordinary_mean(problem)][0]
        )
    assert differing(near_rows, tokens, near_only) == []
    assert differing(rows, tokens, mixed) == []


def test_a_share_of_nothing_is_local_and_of_everything_global() -> None:
    problem = posed("unigram", "byte_level")
    local, near = rebuilt(problem, TokenAdaptLocal()), rebuilt(problem, TokenAdaptGlobal())
    spelled = [
        t for t in problem.missing.tolist() if problem.base.readings([problem.donor.tokens[t]])[0]
    ]
    torch.testing.assert_close(
        rebuilt(problem, TokenAdaptHybrid(share=0.0))[spelled], local[spelled]
    )
    torch.testing.assert_close(
        rebuilt(problem, TokenAdaptHybrid(share=1.0))[spelled], near[spelled]
    )


def test_neighbours_that_the_encoder_cannot_tell_apart_begin_as_the_token_does() -> None:
    problem = posed("byte_level", "word_piece")
    solved = TokenAdaptGlobal(k=1).solve(problem).map
    told = 0
    texts = set(problem.base.tokens)
    for row, token in enumerate(problem.missing.tolist()):
        spelled = problem.donor.tokens[token]
        other = spelled[1:] if spelled.startswith(b" ") else b" " + spelled
        near = problem.base.tokens[solved.row(row)[0][0]]
        if near.strip() == spelled.strip():
            told += 1
            assert near == spelled or (near == other and spelled not in texts)
    assert told


class Ranked(Drawn):
    """An encoder to whom keys without a space lie nearest, by a little; three ahead of one with."""

    def __init__(self, ahead: int, apart: float) -> None:
        self.ahead, self.apart = ahead, apart

    def nearest(
        self, queries: Sequence[str], keys: Sequence[str], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        starts = np.array([key.startswith(" ") for key in keys])
        plain, spaced = np.flatnonzero(~starts), np.flatnonzero(starts)
        order = np.concatenate([plain[: self.ahead], spaced, plain[self.ahead :]])
        cosines = np.where(np.arange(len(keys)) < self.ahead, 0.9001 + self.apart, 0.9001)
        places = np.broadcast_to(order[:k], (len(queries), k))
        return places.astype(np.int64), np.broadcast_to(cosines[:k], (len(queries), k))


@pytest.mark.parametrize(
    ("ahead", "apart", "same"), [(2, 3e-4, True), (2, 5e-3, False), (3, 0.0, True)]
)
def test_a_tie_is_of_three_decimals_and_among_four_times_as_many_as_are_wanted(
    ahead: int, apart: float, same: bool
) -> None:
    problem = posed("byte_level", "sentencepiece_bpe")
    solved = TokenAdaptGlobal(k=1).solve(dataclasses.replace(problem, encoder=Ranked(ahead, apart)))
    spaced = 0
    for row, token in enumerate(problem.missing.tolist()):
        if problem.donor.tokens[token].startswith(b" "):
            near = problem.base.tokens[solved.map.row(row)[0][0]]
            assert near.startswith(b" ") == same
            spaced += 1
    assert spaced


def test_pieces_compared_in_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = posed("byte_level", "unigram")
    whole = rebuilt(problem, TokenAdaptLocal())
    monkeypatch.setattr(tokenadapt, "CHUNK", 5)
    torch.testing.assert_close(rebuilt(problem, TokenAdaptLocal()), whole)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_goes_without_donor_weights_but_not_without_an_encoder(method: type) -> None:
    assert method.needs == {"encoder"}  # type: ignore[attr-defined]
    problem = make_problem("unigram", "byte_level", weights=False)
    with pytest.raises(UsageError, match="needs a text encoder"):
        rebuilt(problem, method())


@pytest.mark.parametrize("method", METHODS)
def test_nothing_missing_is_no_work(method: type) -> None:
    problem = dataclasses.replace(posed("byte_level", "byte_level"), encoder=Asleep())
    assert len(problem.missing) == 0
    assert method().solve(problem).map.rows == 0


def test_where_one_part_has_nothing_the_other_stands_alone() -> None:
    pieces, near, mean = Origin.PIECES, Origin.NEIGHBOURS, Origin.MEAN
    local = VocabularyMap.from_rows(
        9, [((1, 2), (0.5, 0.5), pieces), ((3,), (1.0,), pieces), ((), (), mean), ((), (), mean)]
    )
    other = VocabularyMap.from_rows(
        9, [((7,), (1.0,), near), ((), (), mean), ((8,), (1.0,), near), ((), (), mean)]
    )
    both = blend(local, other, 0.25)
    assert both.origins.tolist() == [Origin.MIXED, pieces, near, mean]
    assert [both.row(i)[0].tolist() for i in range(4)] == [[1, 2, 7], [3], [8], []]
    assert [both.row(i)[1].tolist() for i in range(4)] == [[0.375, 0.375, 0.25], [1.0], [1.0], []]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (b" the", " the"),
        (b"the", "the"),
        ("é".encode(), "é"),
        (b"\xe2\x80", "<0xE2><0x80>"),
        (b"\xc3", "<0xC3>"),
        (b"\n\n", "<0x0A><0x0A>"),
        (b"    ", "<0x20><0x20><0x20><0x20>"),
        ("\u200b".encode(), "<0xE2><0x80><0x8B>"),
        (b" .", " ."),
    ],
)
def test_no_two_tokens_look_the_same_to_an_encoder(token: bytes, text: str) -> None:
    assert token_text(token) == text


def test_texts_of_a_whole_vocabulary_are_distinct_once_stripped_of_nothing() -> None:
    vocabulary: ByteVocabulary = posed("byte_level", "word_piece").base
    texts = {token_text(token) for token in set(vocabulary.tokens)}
    assert len(texts) == len(set(vocabulary.tokens))


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (TokenAdaptLocal, {"temperature": 0.0}, "temperature is 0.0"),
        (TokenAdaptGlobal, {"temperature": float("nan")}, "temperature is nan"),
        (TokenAdaptGlobal, {"k": 0}, "k is 0"),
        (TokenAdaptGlobal, {"threshold": 1.5}, "threshold is 1.5"),
        (TokenAdaptHybrid, {"share": -0.1}, "share is -0.1"),
    ],
)
def test_options_out_of_range_are_refused(
    method: type, options: dict[str, float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        method(**options)
