"""Held-out anchors: scores equal their definitions, and nothing that is hidden is seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.embeddings.corpora import with_corpus
from tests.embeddings.problems import make_problem, vocabulary
from tests.embeddings.test_tokenadapt import Drawn
from tests.families import FAMILIES
from tokxfer.embeddings import (
    OMP,
    REGISTRY,
    Linear,
    Mean,
    Problem,
    Solution,
    TokenAdaptGlobal,
    held_out,
)
from tokxfer.embeddings.heldout import hide
from tokxfer.embeddings.pieces import in_two
from tokxfer.errors import VocabularyError
from tokxfer.vocabulary import Kind, Origin, VocabularyMap


def posed(**options: object) -> Problem:
    problem = make_problem("sentencepiece_bpe", "byte_level", **options)
    corpus = with_corpus("sentencepiece_bpe", "byte_level").corpus
    return dataclasses.replace(problem, encoder=Drawn(), corpus=corpus)


class Told:
    """A method that is told the base ids of the hidden tokens, and mixes their rows with noise."""

    name, needs = "told", frozenset[str]()

    def __init__(self, problem: Problem, noise: float) -> None:
        self.sources, self.noise = problem.sources, noise

    def solve(self, problem: Problem) -> Solution:
        true = problem.base_rows[torch.from_numpy(self.sources[problem.missing])]
        noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
        empty = [((), (), Origin.OUTSIDE) for _ in problem.missing]
        rows = VocabularyMap.from_rows(len(problem.base_rows), empty)
        return Solution(rows, true + self.noise * noise)


def test_true_rows_score_perfectly() -> None:
    problem = posed()
    scores = held_out(problem, Told(problem, 0.0))  # type: ignore[arg-type]
    assert scores.cosine == pytest.approx(1)
    assert scores.relative_error == pytest.approx(0, abs=1e-6)
    assert scores.rank == 1


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_scores_are_what_they_say(noise: float) -> None:
    problem = posed()
    method = Told(problem, noise)
    scores = held_out(problem, method, count=20)  # type: ignore[arg-type]
    hidden = hide(problem, 20)
    kinds = problem.base.kinds
    kept = [i for i, kind in enumerate(kinds) if kind not in (Kind.SPECIAL, Kind.UNUSED)]
    rows = problem.base_rows.double().numpy()
    mean = rows[problem.sources[hidden.anchors]].mean(axis=0)
    outside = method.solve(hidden).outside
    assert outside is not None
    made = outside.double().numpy() - mean
    true = rows[problem.sources[hidden.missing]] - mean
    cosines, ranks = [], []
    for new, old in zip(made, true, strict=True):
        cosines.append(new @ old / np.linalg.norm(new) / np.linalg.norm(old))
        every = [
            (new @ (r - mean)) / np.linalg.norm(new) / np.linalg.norm(r - mean) for r in rows[kept]
        ]
        equal = sum(abs(other - cosines[-1]) <= 1e-6 for other in every)
        ranks.append(1 + sum(other > cosines[-1] + 1e-6 for other in every) + (equal - 1) / 2)
    assert scores.tokens == 20
    assert scores.cosine == pytest.approx(np.mean(cosines), abs=1e-5)
    wrong = np.linalg.norm(made - true) / np.linalg.norm(true)
    assert scores.relative_error == pytest.approx(wrong, abs=1e-5)
    assert scores.rank == sorted(ranks)[(len(ranks) - 1) // 2]


class OneRow:
    """A method with one row for all tokens: the mean of the shared ones, and something more."""

    name, needs = "one row", frozenset[str]()

    def __init__(self, more: float = 0.0) -> None:
        self.more = more

    def solve(self, problem: Problem) -> Solution:
        shown = torch.from_numpy(problem.sources[problem.anchors])
        row = problem.base_rows[shown].mean(dim=0) + self.more
        empty = [((), (), Origin.OUTSIDE) for _ in problem.missing]
        rows = VocabularyMap.from_rows(len(problem.base_rows), empty)
        return Solution(rows, row.repeat(len(problem.missing), 1))


def test_one_mean_row_for_all_has_a_relative_error_of_one() -> None:
    problem = posed()
    scores = held_out(problem, OneRow())  # type: ignore[arg-type]
    assert scores.relative_error == pytest.approx(1)
    assert len(problem.base_rows) / 3 < scores.rank < len(problem.base_rows) * 2 / 3
    assert held_out(problem, Mean()).relative_error == pytest.approx(1, abs=0.1)


def test_rows_far_from_all_others_do_not_make_one_row_look_good() -> None:
    """As those are that training left alone."""
    problem = posed()
    rows = problem.base_rows.clone()
    apart = np.setdiff1d(np.arange(len(rows)), problem.sources[problem.anchors])
    assert len(apart) > 20
    rows[apart] += 100
    moved = dataclasses.replace(problem, base_rows=rows)
    for more in (0.0, 0.3):
        near, far = (held_out(p, OneRow(more)) for p in (problem, moved))  # type: ignore[arg-type]
        assert abs(far.cosine) < 0.2
        assert far.cosine == pytest.approx(near.cosine, abs=1e-5)
        assert far.relative_error == pytest.approx(near.relative_error, rel=1e-5)


def test_every_method_gets_the_same_tokens_and_another_seed_others() -> None:
    problem = posed()
    assert np.array_equal(hide(problem).missing, hide(problem).missing)
    other = dataclasses.replace(problem, seed=1)
    assert not np.array_equal(hide(problem, 20).missing, hide(other, 20).missing)


def test_the_sample_does_not_depend_on_donor_weights_that_are_all_trained() -> None:
    assert np.array_equal(hide(posed()).missing, hide(posed(weights=False)).missing)


def test_what_is_hidden_is_no_anchor_and_has_no_source() -> None:
    problem = posed()
    hidden = hide(problem)
    assert not set(hidden.missing) & set(hidden.anchors)
    assert set(hidden.missing) | set(hidden.anchors) == set(problem.anchors)
    assert (hidden.sources[hidden.missing] == -1).all()
    assert all(len(problem.donor.tokens[token]) > 1 for token in hidden.missing.tolist())


def test_other_spellings_of_what_is_hidden_are_no_anchors_either() -> None:
    problem = posed()
    sources, anchors = problem.sources.copy(), problem.anchors
    half = len(anchors) // 2
    sources[anchors[half : 2 * half]] = sources[anchors[:half]]  # every row has two spellings
    hidden = hide(dataclasses.replace(problem, sources=sources))
    shown = set(sources[hidden.anchors].tolist())
    assert len(hidden.missing)
    assert shown.isdisjoint(sources[hidden.missing].tolist())


@pytest.mark.parametrize("name", sorted(REGISTRY.keys() - {"auto", "blend"}))
def test_no_method_sees_the_rows_that_are_hidden(name: str) -> None:
    """Hidden tokens exchange their rows: moments stay, and so must the answer of every method.

    Rows of other hidden tokens may be used as pieces and neighbours, so that maps are compared, and
    rows beside them. (`auto` and `blend` may answer otherwise: their parts, which are tested here,
    are judged on what such pieces make of still other tokens.)
    """
    hidden = hide(posed())
    places = torch.from_numpy(posed().sources[hidden.missing])
    rows = hidden.base_rows.clone()
    rows[places] = hidden.base_rows[places.roll(1)]
    assert not torch.equal(rows, hidden.base_rows)
    method = REGISTRY[name]()
    before = method.solve(hidden)
    after = method.solve(dataclasses.replace(hidden, base_rows=rows))
    assert np.array_equal(before.map.indices, after.map.indices)
    assert np.array_equal(before.map.origins, after.map.origins)
    np.testing.assert_allclose(before.map.means, after.map.means, atol=1e-5)
    if name != "asymmetric":  # it scales by the length of what the pieces' rows make
        np.testing.assert_allclose(before.map.weights, after.map.weights, atol=1e-5)
    assert (before.outside is None) == (after.outside is None)
    if before.outside is not None:
        torch.testing.assert_close(before.outside, after.outside, rtol=1e-4, atol=1e-4)
    for row, token in enumerate(hidden.missing.tolist()):
        own = hidden.base.ids_of(hidden.donor.tokens[token])
        assert not set(before.map.row(row)[0].tolist()) & set(own)


def test_methods_that_know_the_way_between_the_spaces_find_the_row() -> None:
    problem = posed()
    assert problem.donor_rows is not None
    map_ = torch.randn(20, 24, generator=torch.Generator().manual_seed(4))
    base_rows = problem.base_rows.clone()
    base_rows[problem.sources[problem.anchors]] = problem.donor_rows[problem.anchors] @ map_
    problem = dataclasses.replace(problem, base_rows=base_rows)
    linear, mean = held_out(problem, Linear()), held_out(problem, Mean())
    assert linear.cosine > 0.95 > mean.cosine
    assert linear.rank == 1 < mean.rank
    assert held_out(problem, OMP()).cosine > 0.3 > mean.cosine


def test_neighbours_of_a_hidden_token_are_others() -> None:
    problem = posed()
    hidden = hide(problem)
    found = TokenAdaptGlobal(k=2, threshold=-1.0).solve(hidden).map
    assert set(np.diff(found.indptr).tolist()) == {2}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_two_parts_are_the_fewest_pieces_without_the_token_itself(family: str) -> None:
    whole = vocabulary(family)
    for token in whole.text_ids.tolist()[::9]:
        spelled = whole.tokens[token]
        found = in_two(whole, spelled)
        if not found:
            assert len(spelled) == 1 or not any(
                whole.pieces(spelled[:cut]) and whole.pieces(spelled[cut:])
                for cut in range(1, len(spelled))
            )
            continue
        assert b"".join(whole.tokens[piece] for piece in found) == spelled
        assert len(found) >= 2
        both = [
            len(whole.pieces(spelled[:cut])) + len(whole.pieces(spelled[cut:]))
            for cut in range(1, len(spelled))
            if whole.pieces(spelled[:cut]) and whole.pieces(spelled[cut:])
        ]
        assert len(found) == min(both)


def test_too_few_anchors_are_said() -> None:
    problem = posed()
    few = dataclasses.replace(problem, anchors=problem.anchors[:20])
    with pytest.raises(VocabularyError, match="Only 20 shared tokens"):
        held_out(few, Mean())
