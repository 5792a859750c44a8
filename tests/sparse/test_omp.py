"""`omp` chooses the right atoms and fits them, whichever way it correlates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp
from torch import Tensor

from tests.sparse.oracle import pursue, ridge_fit
from tokxfer.errors import TokxferError, UsageError
from tokxfer.sparse import SparseCodes, omp

pytestmark = pytest.mark.usefixtures("either_way")


def rows(random: torch.Generator, count: int, dim: int, spread: float = 0.0) -> Tensor:
    """Random rows, their lengths log-normal."""
    lengths = torch.exp(spread * torch.randn(count, 1, generator=random))
    return torch.randn(count, dim, generator=random) * lengths


def dense(codes: SparseCodes, atoms: int) -> Tensor:
    """Coefficients of all atoms."""
    spread = torch.zeros(len(codes.support), atoms)
    return spread.scatter_add(1, codes.support.clamp(min=0), codes.coefficients)


def relative_error(codes: SparseCodes, targets: Tensor) -> Tensor:
    return codes.residual_norms / targets.norm(dim=1)


def test_equals_scikit_learn_on_unit_atoms(random: torch.Generator) -> None:
    atoms = torch.nn.functional.normalize(rows(random, 300, 40))
    targets = rows(random, 50, 40)
    expected = orthogonal_mp(
        atoms.double().numpy().T, targets.double().numpy().T, n_nonzero_coefs=10
    ).T
    found = dense(omp(targets, atoms, 10), 300).numpy()
    assert ((found != 0) == (expected != 0)).all()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("selection", ["normalized", "raw"])
def test_chooses_like_the_oracle_in_the_same_order(random: torch.Generator, selection: str) -> None:
    atoms, targets = rows(random, 200, 30, spread=0.5), rows(random, 40, 30)
    support = omp(targets, atoms, 8, selection=selection).support.tolist()
    for found, target in zip(support, targets.double().numpy(), strict=True):
        assert found == pursue(target, atoms.double().numpy(), 8, selection)


def test_raw_and_normalized_selection_differ_on_atoms_of_different_length() -> None:
    atoms = torch.tensor([[10.0, 10.0], [0.0, 1.0]])
    target = torch.tensor([[0.0, 1.0]])
    assert omp(target, atoms, 1, selection="raw").support.tolist() == [[0]]
    assert omp(target, atoms, 1).support.tolist() == [[1]]


def test_recovers_planted_supports_and_then_stops(random: torch.Generator) -> None:
    atoms = rows(random, 500, 100, spread=0.3)
    planted = torch.stack([torch.randperm(500, generator=random)[:5] for _ in range(30)])
    weights = 1.0 + torch.rand(30, 5, generator=random)
    weights /= atoms.norm(dim=1)[planted]
    codes = omp((weights.unsqueeze(2) * atoms[planted]).sum(1), atoms, 12)
    assert (codes.support[:, 5:] == -1).all()
    assert (codes.coefficients[:, 5:] == 0).all()
    assert torch.equal(codes.support[:, :5].sort(1).values, planted.sort(1).values)
    expected = torch.zeros(30, 500).scatter(1, planted, weights)
    torch.testing.assert_close(dense(codes, 500), expected, rtol=1e-4, atol=1e-5)


def test_equals_least_squares_when_all_atoms_are_taken(random: torch.Generator) -> None:
    atoms, targets = rows(random, 12, 20), rows(random, 15, 20)
    expected = torch.linalg.lstsq(atoms.T.double(), targets.T.double()).solution.T.float()
    found = dense(omp(targets, atoms, 12, tolerance=1e-7), 12)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_k_above_the_width_does_not_blow_up(random: torch.Generator) -> None:
    atoms, targets = rows(random, 1000, 32), rows(random, 40, 32)
    codes = omp(targets, atoms, 64)
    assert relative_error(codes, targets).max() < 1e-3
    assert codes.coefficients.abs().max() < 10
    assert codes.support.shape == (40, 64)


def test_k_above_the_rank_does_not_blow_up(random: torch.Generator) -> None:
    atoms = rows(random, 300, 6) @ rows(random, 6, 32)
    targets = rows(random, 40, 32)
    codes = omp(targets, atoms, 64)
    span = torch.linalg.qr(atoms[:6].T).Q
    outside = (targets - targets @ span @ span.T).norm(dim=1)
    torch.testing.assert_close(codes.residual_norms, outside, rtol=1e-4, atol=1e-4)
    assert ((codes.support >= 0).sum(1) <= 6).all()
    assert codes.coefficients.abs().max() < 10


def test_nearly_equal_atoms_do_not_cancel_each_other(random: torch.Generator) -> None:
    atoms = rows(random, 20, 16)
    atoms = torch.cat([atoms, atoms + 1e-5 * rows(random, 20, 16)])
    codes = omp(rows(random, 30, 16), atoms, 40)
    assert codes.coefficients.abs().max() < 100


def test_repeated_atoms_change_nothing(random: torch.Generator) -> None:
    atoms, targets = rows(random, 60, 16), rows(random, 20, 16)
    once, thrice = omp(targets, atoms, 10), omp(targets, atoms.repeat(3, 1), 10)
    assert torch.equal(thrice.support % 60, once.support)
    torch.testing.assert_close(thrice.coefficients, once.coefficients, rtol=1e-4, atol=1e-5)


def test_no_atom_is_taken_twice(random: torch.Generator) -> None:
    codes = omp(rows(random, 30, 24), rows(random, 40, 24), 24)
    for support in codes.support.tolist():
        taken = [atom for atom in support if atom >= 0]
        assert len(set(taken)) == len(taken)


def test_zero_targets_get_empty_codes(random: torch.Generator) -> None:
    targets = rows(random, 4, 8)
    targets[[1, 3]] = 0.0
    codes = omp(targets, rows(random, 20, 8), 3)
    assert (codes.support[[1, 3]] == -1).all()
    assert (codes.coefficients[[1, 3]] == 0).all()
    assert codes.residual_norms[[1, 3]].tolist() == [0.0, 0.0]
    assert (codes.support[[0, 2]] >= 0).all()


@pytest.mark.parametrize("selection", ["normalized", "raw"])
def test_zero_atoms_are_never_taken(random: torch.Generator, selection: str) -> None:
    atoms = rows(random, 20, 32)
    atoms[::2] = 0.0
    atoms[1] *= 1e-12
    codes = omp(rows(random, 10, 32), atoms, 20, selection=selection)
    assert set(codes.support.unique().tolist()) == {-1, *range(3, 20, 2)}
    nothing = omp(rows(random, 10, 32), torch.zeros(5, 32), 3, selection=selection)
    assert (nothing.support == -1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_works_in_float32_whatever_comes_in(random: torch.Generator, dtype: torch.dtype) -> None:
    atoms, targets = rows(random, 100, 24).to(dtype), rows(random, 20, 24).to(dtype)
    codes = omp(targets, atoms, 6, ridge=0.1)
    expected = omp(targets.float(), atoms.float(), 6, ridge=0.1)
    assert codes.coefficients.dtype == codes.residual_norms.dtype == torch.float32
    assert torch.equal(codes.support, expected.support)
    torch.testing.assert_close(codes.coefficients, expected.coefficients)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(random: torch.Generator, scale: float) -> None:
    atoms, targets = rows(random, 100, 24), rows(random, 20, 24)
    codes, scaled = omp(targets, atoms, 6, ridge=0.1), omp(targets, scale * atoms, 6, ridge=0.1)
    assert torch.equal(scaled.support, codes.support)
    torch.testing.assert_close(scaled.coefficients * scale, codes.coefficients)


def test_ridge_equals_the_oracle_and_keeps_the_support(random: torch.Generator) -> None:
    atoms, targets = rows(random, 100, 24, spread=0.5), rows(random, 20, 24)
    codes = omp(targets, atoms, 8, ridge=0.3)
    assert torch.equal(codes.support, omp(targets, atoms, 8).support)
    table = atoms.double().numpy()
    weight = 0.3 * (table**2).sum(1).mean()
    for support, found, target in zip(*codes_of(codes), targets.double().numpy(), strict=True):
        expected = ridge_fit(target, table[support], weight)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def codes_of(codes: SparseCodes) -> tuple[np.ndarray, np.ndarray]:
    return codes.support.numpy(), codes.coefficients.numpy()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_coefficients_stay_below_the_cap(random: torch.Generator, ridge: float) -> None:
    atoms, targets = rows(random, 100, 24, spread=0.5), rows(random, 40, 24)
    codes = omp(targets, atoms, 16, cap=1.5, ridge=ridge)
    assert codes.coefficients.abs().sum(1).max() <= 1.5 + 1e-5
    assert (codes.support[:, 0] >= 0).all()


def test_the_cap_ends_a_pursuit_before_the_atom_that_exceeds_it(random: torch.Generator) -> None:
    atoms, targets = rows(random, 100, 24, spread=0.5), rows(random, 40, 24)
    capped, free = omp(targets, atoms, 16, cap=2.5), omp(targets, atoms, 16)
    lengths = (capped.support >= 0).sum(1)
    assert 1 < lengths.float().mean() < 16
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(capped.support[row, :length], free.support[row, :length])
        if length < 16:
            longer = omp(targets[row : row + 1], atoms, length + 1)
            assert longer.coefficients.abs().sum() > 2.5


def test_a_single_atom_above_the_cap_is_scaled_down() -> None:
    codes = omp(torch.tensor([[8.0, 0.0]]), torch.eye(2), 1, cap=2.0)
    assert codes.coefficients.tolist() == [[2.0]]
    assert codes.residual_norms.tolist() == [6.0]


def test_memory_budgets_change_nothing(random: torch.Generator) -> None:
    atoms, targets = rows(random, 300, 24), rows(random, 50, 24)
    expected = omp(targets, atoms, 8)
    for budget in (1, 500_000, 600_000, 10**9):
        codes = omp(targets, atoms, 8, memory_budget=budget)
        assert torch.equal(codes.support, expected.support)
        torch.testing.assert_close(codes.coefficients, expected.coefficients)


def test_runs_the_same_twice(random: torch.Generator) -> None:
    atoms, targets = rows(random, 300, 24), rows(random, 50, 24)
    first, second = omp(targets, atoms, 8), omp(targets, atoms, 8)
    assert torch.equal(first.coefficients, second.coefficients)
    assert torch.equal(first.support, second.support)


def test_progress_adds_up_to_all_targets(random: torch.Generator) -> None:
    steps: list[int] = []
    omp(rows(random, 50, 24), rows(random, 300, 24), 4, memory_budget=100_000, advance=steps.append)
    assert sum(steps) == 50
    assert len(steps) > 1


def test_no_targets_give_empty_codes(random: torch.Generator) -> None:
    codes = omp(torch.empty(0, 8), rows(random, 5, 8), 3)
    assert codes.support.shape == codes.coefficients.shape == (0, 3)
    assert codes.residual_norms.shape == (0,)


def test_gradients_autocast_and_precision_settings_do_not_leak(random: torch.Generator) -> None:
    atoms, targets = rows(random, 100, 24), rows(random, 20, 24)
    expected = omp(targets, atoms, 6)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            codes = omp(targets.requires_grad_(), atoms, 6)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not codes.coefficients.requires_grad
    assert torch.equal(codes.coefficients, expected.coefficients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"selection": "longest"}, "'normalized' or 'raw', not 'longest'"),
        ({"ridge": -0.1}, "ridge must be a finite number"),
        ({"ridge": math.nan}, "ridge must be a finite number"),
        ({"cap": 0.0}, "cap must be positive"),
        ({"tolerance": 0.0}, "tolerance must lie between 0 and 1"),
        ({"atoms": torch.ones(4, 3)}, r"one width, not \(2, 5\) and \(4, 3\)"),
        ({"atoms": torch.ones(0, 5)}, "no atoms"),
        ({"memory_budget": 0}, "memory budget must be positive"),
        ({"atoms": torch.ones(4, 5, device="meta")}, "targets are on cpu, atoms on meta"),
    ],
)
def test_refuses_what_makes_no_sense(options: dict[str, object], message: str) -> None:
    arguments = {"targets": torch.ones(2, 5), "atoms": torch.ones(4, 5), "k": 2} | options
    with pytest.raises(UsageError, match=message):
        omp(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["targets", "atoms"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_names_the_row_that_is_not_finite(name: str, value: float) -> None:
    arguments = {"targets": torch.ones(6, 5), "atoms": torch.ones(6, 5)}
    arguments[name][3, 2] = value
    with pytest.raises(TokxferError, match=f"row 3 of the {name} .* not finite"):
        omp(**arguments, k=2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("selection", ["normalized", "raw"])
def test_cuda_agrees_with_the_processor(random: torch.Generator, selection: str) -> None:
    atoms, targets = rows(random, 3000, 64, spread=0.3), rows(random, 200, 64)
    here = omp(targets, atoms, 16, selection=selection, ridge=0.01)
    there = omp(targets.cuda(), atoms.cuda(), 16, selection=selection, ridge=0.01)
    assert there.support.device.type == "cuda"
    same = (here.support == there.support.cpu()).all(1)
    assert same.float().mean() > 0.98  # near ties may fall either way
    torch.testing.assert_close(
        there.coefficients.cpu()[same], here.coefficients[same], rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        there.residual_norms.cpu(), here.residual_norms, rtol=1e-2, atol=1e-4
    )
