"""`solve_support` is least squares on given supports."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.sparse.oracle import ridge_fit
from tokxfer.errors import UsageError
from tokxfer.sparse import omp, solve_path, solve_support


def test_equals_least_squares_with_places_not_used(random: torch.Generator) -> None:
    atoms, targets = torch.randn(30, 12, generator=random), torch.randn(2, 12, generator=random)
    support = torch.tensor([[4, 9, -1], [0, 2, 29]])
    found = solve_support(targets, atoms, support).numpy()
    for row, taken in ((0, [4, 9]), (1, [0, 2, 29])):
        expected = np.linalg.lstsq(atoms[taken].numpy().T, targets[row].numpy(), rcond=None)[0]
        np.testing.assert_allclose(found[row, : len(taken)], expected, rtol=1e-4)
    assert found[0, 2] == 0


def test_ridge_is_relative_to_the_mean_squared_length_of_all_atoms(random: torch.Generator) -> None:
    atoms, targets = torch.randn(30, 12, generator=random), torch.randn(1, 12, generator=random)
    found = solve_support(targets, atoms, torch.tensor([[4, 9]]), ridge=0.5)
    weight = 0.5 * float(atoms.square().sum(1).mean())
    expected = ridge_fit(targets[0].double().numpy(), atoms[[4, 9]].double().numpy(), weight)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4)


def test_ridge_makes_equal_atoms_share_evenly() -> None:
    found = solve_support(
        torch.tensor([[1.0]]), torch.ones(2, 1), torch.tensor([[0, 1]]), ridge=0.1
    )
    assert found[0, 0] == found[0, 1]
    torch.testing.assert_close(found.sum(), torch.tensor(2 / 2.1))


def test_a_shortened_support_gives_what_a_smaller_k_gives(random: torch.Generator) -> None:
    atoms, targets = torch.randn(90, 20, generator=random), torch.randn(30, 20, generator=random)
    long, short = omp(targets, atoms, 9), omp(targets, atoms, 4)
    assert torch.equal(long.support[:, :4], short.support)
    torch.testing.assert_close(
        solve_support(targets, atoms, long.support[:, :4]), short.coefficients
    )


def test_memory_budgets_change_nothing(random: torch.Generator) -> None:
    atoms, targets = torch.randn(90, 20, generator=random), torch.randn(80, 20, generator=random)
    support = omp(targets, atoms, 9).support
    expected = solve_support(targets, atoms, support)
    for budget in (1, 10_000, 10**9):
        found = solve_support(targets, atoms, support, memory_budget=budget)
        torch.testing.assert_close(found, expected)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="must be positive, not 0 bytes"):
        solve_support(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1).long(), memory_budget=0)


@pytest.mark.parametrize("budget", [None, 1])
def test_a_path_is_every_one_of_its_fits(budget: int | None) -> None:
    generator = torch.Generator().manual_seed(3)
    targets = torch.randn(70, 12, generator=generator)
    atoms = torch.randn(30, 12, generator=generator)
    support = omp(targets, atoms, 6).support.clone()
    support[::3, 4:] = -1
    support[5] = -1
    path = solve_path(targets, atoms, support, (1, 3, 6), (0.0, 0.2), memory_budget=budget)
    assert set(path) == {(size, ridge) for size in (1, 3, 6) for ridge in (0.0, 0.2)}
    for (size, ridge), found in path.items():
        expected = solve_support(targets, atoms, support[:, :size], ridge=ridge)
        torch.testing.assert_close(found, expected)
