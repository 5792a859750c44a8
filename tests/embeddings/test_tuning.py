"""Held-out anchors choose k, selection and ridge, and only what is left open."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.embeddings.problems import make_problem
from tokxfer.embeddings import OMP, Problem
from tokxfer.embeddings.tuning import choose, supported
from tokxfer.errors import UsageError


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


def test_a_noisy_base_space_asks_for_more_ridge_than_a_clean_one() -> None:
    clean = choose(planted(0.0, 6), k=8, selection="normalized", ridge="auto", tune=True)
    noisy = choose(planted(5.0, 6), k=8, selection="normalized", ridge="auto", tune=True)
    assert clean.ridge < noisy.ridge
    assert clean.error is not None
    assert noisy.error is not None
    assert clean.error < 0.01 < noisy.error


def test_the_choice_is_the_best_of_the_grid_by_a_slow_count() -> None:
    problem = planted(0.5, 10)
    best = choose(problem, k=8, selection="auto", ridge="auto", tune=True)
    errors = {
        (k, selection, ridge): choose_one(problem, k, selection, ridge)
        for k in (1, 2, 4, 8)
        for selection in ("normalized", "raw")
        for ridge in (0.0, 0.1, 1.0)
    }
    assert best.error is not None
    assert best.error <= min(errors.values()) + 1e-6


def choose_one(problem: Problem, k: int, selection: str, ridge: float) -> float:
    """The error of one setting, by hiding the same anchors and solving the whole problem."""
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
    method = OMP(k=k, selection=selection, ridge=ridge, tune=False)  # type: ignore[arg-type]
    solved = method.solve(hiding).map
    dense = torch.zeros(count, len(problem.base_rows))
    for row in range(count):
        ids, weights = solved.row(row)
        dense[row].index_add_(0, torch.tensor(ids), torch.tensor(weights))
    guess = dense @ problem.base_rows
    truth = problem.base_rows[torch.from_numpy(problem.sources[hidden])]
    centre = problem.base_rows[torch.from_numpy(problem.sources[kept])].mean(dim=0)
    return float((guess - truth).square().sum() / (truth - centre).square().sum())


@pytest.mark.parametrize(("anchors", "dim", "k"), [(1, 8, 1), (10, 100, 5), (1000, 32, 16)])
def test_k_is_capped_by_half_of_what_anchors_and_width_determine(
    anchors: int, dim: int, k: int
) -> None:
    assert supported(anchors, dim) == k


def test_few_anchors_are_all_kept_and_nothing_is_held_out() -> None:
    problem = make_problem("byte_level", "unigram")
    few = dataclasses.replace(problem, anchors=problem.anchors[:12])
    choice = choose(few, k=64, selection="auto", ridge="auto", tune=True)
    assert (choice.held_out, choice.error) == (0, None)
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
