"""`auto` takes what comes nearest to held-out rows, of what is given."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.embeddings.corpora import with_corpus
from tests.embeddings.problems import make_problem
from tests.embeddings.test_methods import rebuilt
from tokxfer.embeddings import (
    Auto,
    Blend,
    HeldOut,
    Linear,
    Method,
    Problem,
    Procrustes,
    Settled,
    Subword,
    auto,
    held_out,
    label,
    settled,
    uses,
)
from tokxfer.embeddings.auto import CANDIDATES

WITHOUT_WEIGHTS = {
    "subword-uniform", "subword-length", "subword-first", "subword-last", "asymmetric"
}  # fmt: skip


@pytest.mark.parametrize("weights", [True, False])
def test_the_best_of_what_is_given_is_taken(weights: bool) -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level", weights=weights)
    details = Auto().solve(problem).details
    given = {"anchors", "donor weights"} if weights else {"anchors"}
    able = [c for c in CANDIDATES if c.needs <= given]
    assert {label(c) for c in able} == set(details["cosines"])
    assert weights or set(details["cosines"]) == WITHOUT_WEIGHTS
    assert not weights or {"blend", "omp (center=True)", "knn (k=64)"} <= set(details["cosines"])
    scores = {label(c): held_out(problem, c).cosine for c in able}
    assert details["method"] == max(scores, key=lambda name: scores[name])
    for name, score in details["cosines"].items():
        assert score == pytest.approx(scores[name], abs=1e-4)


def test_rows_are_those_of_the_method_taken() -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    assert problem.donor_rows is not None
    way = torch.randn(20, 24, generator=torch.Generator().manual_seed(4))
    rows = problem.base_rows.clone()
    rows[problem.sources[problem.anchors]] = problem.donor_rows[problem.anchors] @ way
    problem = dataclasses.replace(problem, base_rows=rows)
    taken = {"linear": Linear(), "blend": Blend()}[Auto().solve(problem).details["method"]]
    assert torch.equal(rebuilt(problem, Auto()), rebuilt(problem, taken))


def test_both_matrices_get_the_method_of_the_highest_mean_cosine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {
        ("input", "blend"): 0.9, ("output", "blend"): 0.1,
        ("input", "linear"): 0.2, ("output", "linear"): 0.7,
        ("input", "procrustes"): 0.6, ("output", "procrustes"): 0.5,
    }  # fmt: skip

    def scored(problem: Problem, method: Method) -> HeldOut:
        return HeldOut(9, told.get((problem.matrix, label(method)), 0.0), 1.0, 1.0)

    monkeypatch.setattr(auto, "held_out", scored)
    first, second = (
        make_problem("sentencepiece_bpe", "byte_level", matrix=m) for m in ("input", "output")
    )
    both = [dataclasses.replace(first, other=second), dataclasses.replace(second, other=first)]
    chosen = settled(Auto(), both)
    assert isinstance(chosen, Settled)
    assert chosen.method == Procrustes()
    assert settled(chosen, both) is chosen
    for problem in both:
        details = Auto().solve(problem).details
        assert details["method"] == "procrustes"
        for name, cosine in details["cosines"].items():
            assert cosine == told.get((problem.matrix, name), 0.0)
    assert settled(Auto(), [first]).method == Blend()  # type: ignore[union-attr]
    assert settled(Auto(), [second]).method == Linear()  # type: ignore[union-attr]


def test_a_text_brings_what_is_fitted_on_it() -> None:
    problem = with_corpus("sentencepiece_bpe", "byte_level")
    tried = set(Auto().solve(problem).details["cosines"])
    assert tried - WITHOUT_WEIGHTS == {
        "focus (unseen=pieces)", "focus (unseen=pieces, epochs=15)", "wechsel (unseen=pieces)"
    }  # fmt: skip


def test_without_enough_anchors_it_is_subword() -> None:
    problem = make_problem("sentencepiece_bpe", "byte_level")
    problem = dataclasses.replace(problem, anchors=problem.anchors[:10])
    assert Auto().solve(problem).details == {"method": "subword-uniform", "cosines": {}}
    assert torch.equal(rebuilt(problem, Auto()), rebuilt(problem, Subword()))


def test_donor_weights_are_used_but_not_needed() -> None:
    assert uses(Auto(), "donor weights")
    assert not Auto.needs
    assert not uses(Subword(), "donor weights")
