"""FOCUS equals its formula, written out token by token, across tokenizer families."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.embeddings.corpora import Drawn, drawn, rare, with_corpus
from tests.embeddings.problems import make_problem
from tests.embeddings.test_methods import PAIRS, rebuilt
from tests.sparse.test_sparsemax import by_bisection
from tokxfer.embeddings import Focus, Gaussian, Problem, Subword, Training, Wechsel, focus
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.sparse import sparsemax
from tokxfer.sparse.sparsemax import WORK
from tokxfer.vocabulary import Origin


def seen(token: int) -> bool:
    return not rare(b"%d" % token)


def cosine(left: int, right: int) -> float:
    a, b = drawn(b"%d" % left).astype(float), drawn(b"%d" % right).astype(float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def mixture(problem: Problem, token: int) -> torch.Tensor:
    known = [anchor for anchor in problem.anchors.tolist() if seen(anchor)]
    shares = by_bisection([cosine(token, anchor) for anchor in known])
    rows = problem.base_rows[torch.from_numpy(problem.sources[known])].double()
    return (torch.tensor(shares).double() @ rows).float()


@pytest.mark.parametrize(("base", "donor"), PAIRS)
@pytest.mark.parametrize("matrix", ["input", "output", "tied"])
def test_rows_are_sparsemax_mixtures_of_shared_tokens(base: str, donor: str, matrix: str) -> None:
    problem = with_corpus(base, donor, matrix=matrix)
    rows, drawn_rows = rebuilt(problem, Focus()), rebuilt(problem, Gaussian())
    tokens = problem.missing.tolist()
    known = [token for token in tokens if seen(token)]
    assert known
    for token in known[::13]:
        torch.testing.assert_close(rows[token], mixture(problem, token), rtol=1e-4, atol=1e-5)
    unseen = [token for token in tokens if not seen(token)]
    assert torch.equal(rows[unseen], drawn_rows[unseen])


def test_unseen_tokens_get_the_mean_of_their_pieces_where_asked() -> None:
    problem = with_corpus("sentencepiece_bpe", "byte_level")
    rows, means = rebuilt(problem, Focus(unseen="pieces")), rebuilt(problem, Subword())
    unseen = [token for token in problem.missing.tolist() if not seen(token)]
    assert unseen
    assert torch.equal(rows[unseen], means[unseen])


def test_mixtures_are_convex_and_leave_most_anchors_out() -> None:
    problem = with_corpus("gemma", "byte_level")
    solution = Focus().solve(problem)
    learned = np.flatnonzero(solution.map.origins == Origin.NEIGHBOURS)
    for place in learned.tolist():
        _, weights = solution.map.row(place)
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        assert len(weights) < len(problem.anchors) / 2
    assert solution.details["seen"] == len(learned)
    assert solution.details["seen"] + solution.details["unseen"] == len(problem.missing)
    assert solution.details["anchors"] == sum(map(seen, problem.anchors.tolist()))


def test_both_matrices_are_mixed_alike() -> None:
    maps = [
        Focus().solve(with_corpus("unigram", "byte_level", matrix=matrix)).map
        for matrix in ("input", "output")
    ]
    assert np.array_equal(maps[0].indices, maps[1].indices)
    assert np.array_equal(maps[0].weights, maps[1].weights)


def test_a_small_budget_changes_nothing_but_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = with_corpus("sentencepiece_bpe", "byte_level")
    whole = Focus().solve(problem).map
    budget = 7 * WORK * len(problem.anchors)
    sizes: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        focus, "sparsemax", lambda scores: (sizes.append(scores.shape), sparsemax(scores))[1]
    )
    small = Focus().solve(dataclasses.replace(problem, memory_budget=budget)).map
    assert max(count * columns for count, columns in sizes) * WORK <= budget
    assert len(sizes) > 2
    np.testing.assert_allclose(small.weights, whole.weights, atol=1e-6)
    assert np.array_equal(small.indices, whole.indices)


def test_ids_of_the_same_bytes_have_vectors_of_their_own() -> None:
    """The text knows ids, not spellings: of twins one may be seen and the other not."""
    problem = with_corpus("byte_level", "gemma")
    solved = Focus().solve(problem).map
    assert [o == Origin.NEIGHBOURS for o in solved.origins] == [
        seen(token) for token in problem.missing.tolist()
    ]


@pytest.mark.parametrize("method", [Focus, Wechsel])
def test_options_reach_the_fit(method: type) -> None:
    problem = with_corpus("unigram", "byte_level", seed=5)
    method(min_count=3, epochs=7, dim=50, negatives=2).solve(problem)
    assert isinstance(problem.corpus, Drawn)
    assert problem.corpus.asked == [Training(50, 7, 2, 3, seed=5)]


@pytest.mark.parametrize("method", [Focus, Wechsel])
def test_neither_goes_without_text(method: type) -> None:
    with pytest.raises(UsageError, match="is fitted on text"):
        rebuilt(make_problem("unigram", "byte_level", weights=False), method())


@pytest.mark.parametrize("method", [Focus, Wechsel])
def test_nothing_missing_is_no_work(method: type) -> None:
    problem = with_corpus("byte_level", "byte_level")
    assert len(problem.missing) == 0
    assert method().solve(problem).map.rows == 0
    assert isinstance(problem.corpus, Drawn)
    assert problem.corpus.asked == []


def test_no_shared_token_with_a_vector_is_said() -> None:
    problem = with_corpus("unigram", "byte_level")
    unseen = np.array([token for token in problem.anchors.tolist() if not seen(token)])
    with pytest.raises(VocabularyError, match="No shared token has a vector: none occurs 10 times"):
        Focus().solve(dataclasses.replace(problem, anchors=unseen))


@pytest.mark.parametrize("method", [Focus, Wechsel])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unseen": "zero"}, "no way 'zero'"),
        ({"min_count": 0}, "option min_count is 0"),
        ({"epochs": 0}, "option epochs is 0"),
        ({"dim": -1}, "option dim is -1"),
        ({"negatives": 0}, "option negatives is 0"),
    ],
)
def test_options_out_of_range_are_refused(
    method: type, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        method(**options)
