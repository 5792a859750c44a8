"""Held-out anchors choose how rows are coded, and only what is left open."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.embeddings.problems import make_problem
from tokxfer.embeddings import OMP, Problem
from tokxfer.embeddings.applying import apply_map
from tokxfer.embeddings.tuning import Choice, choose, supported
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary, Kind


def planted(noise: float, atoms: int, seed: int = 0) -> Problem:
    """A problem whose anchors' rows in both spaces are images of one hidden sparse structure."""
    problem = make_problem("byte_level_groups", "byte_level")
    assert problem.donor_rows is not None
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(atoms, 64, generator=generator)
    codes = torch.randn(len(problem.donor_rows), atoms, generator=generator)
    rows = codes @ hidden
    to_base = torch.randn(64, problem.base_rows.shape[1], generator=generator) / 8
    to_donor = torch.randn(64, problem.donor_rows.shape[1], generator=generator) / 8
    donor_rows = rows @ to_donor
    base_rows = torch.randn(problem.base_rows.shape, generator=generator) * noise
    base_rows[torch.from_numpy(problem.sources[problem.anchors])] += (rows @ to_base)[
        torch.from_numpy(problem.anchors)
    ]
    return dataclasses.replace(problem, base_rows=base_rows, donor_rows=donor_rows)


def test_what_is_given_is_not_chosen() -> None:
    choice = choose(planted(0.1, 6), k=5, selection="raw", ridge=0.25, tune=False)
    assert (choice.k, choice.selection, choice.ridge, choice.held_out) == (5, "raw", 0.25, 0)


def test_a_clean_base_space_is_met_and_a_noisy_one_is_not() -> None:
    clean = choose(planted(0.0, 6), k=8, selection="normalized", ridge="auto", tune=True)
    noisy = choose(planted(5.0, 6), k=8, selection="normalized", ridge="auto", tune=True)
    assert clean.cosine is not None
    assert noisy.cosine is not None
    assert noisy.cosine < 0.9 < 0.999 < clean.cosine
    assert clean.scale == pytest.approx(1.0, abs=0.01)
    assert clean.ridge <= noisy.ridge


def test_the_choice_is_the_best_of_the_grid_by_a_slow_count() -> None:
    problem = planted(0.5, 10)
    best = choose(problem, k=8, selection="auto", ridge="auto", tune=True)
    found = {
        (k, selection, ridge): measure_one(problem, k, selection, ridge)
        for k in (1, 2, 4, 8)
        for selection in ("normalized", "raw")
        for ridge in (0.0, 0.1, 0.3)
    }
    assert best.cosine is not None
    assert best.cosine >= max(cosine for cosine, _ in found.values()) - 1e-6
    cosine, scale = measure_one(problem, best.k, best.selection, best.ridge)
    assert best.cosine == pytest.approx(cosine, abs=1e-5)
    assert best.scale == pytest.approx(scale, rel=1e-4)


def measure_one(problem: Problem, k: int, selection: str, ridge: float) -> tuple[float, float]:
    """Cosine and scale of one setting, by hiding the same anchors and solving the whole problem."""
    from tokxfer.embeddings import tuning

    order = np.random.default_rng(problem.seed).permutation(len(problem.anchors))
    count = min(tuning.HELD_OUT, len(problem.anchors) // 5)
    hidden, kept = np.sort(problem.anchors[order[:count]]), np.sort(problem.anchors[order[count:]])
    hiding = dataclasses.replace(
        problem,
        missing=hidden,
        anchors=kept,
        distrusted=np.zeros(count, dtype=bool),
    )
    base_mean = ordinary(problem.base_rows, problem.base).mean(dim=0)
    method = OMP(k=k, selection=selection, ridge=ridge, tune=False)
    solved = method.solve(hiding).map
    dense = torch.zeros(count, len(problem.base_rows))
    for row in range(count):
        ids, weights = solved.row(row)
        dense[row].index_add_(0, torch.tensor(ids), torch.tensor(weights))
    guess = dense @ problem.base_rows - base_mean
    truth = problem.base_rows[torch.from_numpy(problem.sources[hidden])] - base_mean
    lengths = truth.norm(dim=1), guess.norm(dim=1)
    cosines = (guess * truth).sum(dim=1) / (lengths[0] * lengths[1])
    return float(cosines.mean()), float(lengths[0].sum() / lengths[1].sum()) ** 0.5


def ordinary(rows: torch.Tensor, vocabulary: ByteVocabulary) -> torch.Tensor:
    kept = [place for place, kind in enumerate(vocabulary.kinds) if kind != Kind.SPECIAL]
    return rows[[place for place in kept if place < len(rows)]]


def test_a_choice_is_carried_out_on_every_missing_token(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = planted(0.3, 10)
    assert problem.donor_rows is not None
    choice = Choice(4, "normalized", 0.1, scale=1.7, cosine=0.5, held_out=100)
    monkeypatch.setattr("tokxfer.embeddings.omp.choose", lambda *_, **__: choice)
    base_mean = ordinary(problem.base_rows, problem.base).mean(dim=0)
    new = apply_map(OMP().solve(problem).map, problem.base_rows, mean=base_mean)
    plain = OMP(k=4, selection="normalized", ridge=0.1, tune=False)
    monkeypatch.undo()
    unscaled = apply_map(plain.solve(problem).map, problem.base_rows, mean=base_mean)
    expected = base_mean + 1.7 * (unscaled - base_mean)
    torch.testing.assert_close(new, expected, rtol=1e-4, atol=1e-4)


def test_without_tuning_the_method_is_the_papers() -> None:
    choice = choose(planted(0.5, 10), k=8, selection="auto", ridge="auto", tune=False)
    assert (choice.k, choice.scale) == (8, 1.0)
    assert choice.held_out > 0


@pytest.mark.parametrize(("anchors", "dim", "k"), [(1, 8, 1), (10, 100, 5), (1000, 32, 16)])
def test_k_is_capped_by_half_of_what_anchors_and_width_determine(
    anchors: int, dim: int, k: int
) -> None:
    assert supported(anchors, dim) == k


def test_few_anchors_are_all_kept_and_nothing_is_held_out() -> None:
    problem = make_problem("byte_level", "unigram")
    few = dataclasses.replace(problem, anchors=problem.anchors[:12])
    choice = choose(few, k=64, selection="auto", ridge="auto", tune=True)
    assert (choice.held_out, choice.cosine, choice.scale) == (0, None, 1.0)
    assert choice.k == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"selection": "nearest"}, "no selection 'nearest'"),
        ({"ridge": -1.0}, "cannot be negative"),
        ({"ridge": "big"}, "is no number"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        OMP(**options)  # type: ignore[arg-type]
