"""What holds of every code, for dictionaries of any shape, rank and scale."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tokxfer.sparse import coding, omp

quickly = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Targets and atoms; often of low rank, with repeated, zero and very unequal rows."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dim, atoms = draw(st.integers(1, 24)), draw(st.integers(1, 60))
    rank = draw(st.integers(1, dim))
    table = torch.randn(atoms, rank, generator=random) @ torch.randn(rank, dim, generator=random)
    table *= torch.exp(draw(st.sampled_from([0.0, 1.0])) * torch.randn(atoms, 1, generator=random))
    if draw(st.booleans()):
        table[torch.randint(atoms, (atoms // 3,), generator=random)] = table[0].clone()
    if draw(st.booleans()):
        table[torch.randint(atoms, (atoms // 4,), generator=random)] = 0.0
    targets = torch.randn(draw(st.integers(1, 9)), dim, generator=random)
    return targets, table


@given(
    problem=problems(), k=st.integers(1, 40), raw=st.booleans(), ridge=st.sampled_from([0.0, 0.1])
)
@quickly
def test_residual_norms_are_those_of_the_returned_coefficients(
    either_way: str, problem: tuple[Tensor, Tensor], k: int, raw: bool, ridge: float
) -> None:
    targets, atoms = problem
    codes = omp(targets, atoms, k, selection="raw" if raw else "normalized", ridge=ridge)
    rows = atoms.double()[codes.support.clamp(min=0)]
    left = targets.double() - (codes.coefficients.double().unsqueeze(2) * rows).sum(1)
    torch.testing.assert_close(left.norm(dim=1).float(), codes.residual_norms, rtol=1e-4, atol=1e-6)


@given(problem=problems(), k=st.integers(1, 40), raw=st.booleans())
@quickly
def test_residuals_are_orthogonal_to_their_support(
    either_way: str, problem: tuple[Tensor, Tensor], k: int, raw: bool
) -> None:
    targets, atoms = problem
    codes = omp(targets, atoms, k, selection="raw" if raw else "normalized")
    rows = torch.nn.functional.normalize(atoms.double(), dim=1)[codes.support.clamp(min=0)]
    fitted = codes.coefficients.double().unsqueeze(2) * atoms.double()[codes.support.clamp(min=0)]
    left = targets.double() - fitted.sum(1)
    products = (rows @ left.unsqueeze(2)).squeeze(2) * (codes.support >= 0)
    assert products.abs().max() < 1e-4 * targets.norm(dim=1).max()


@given(problem=problems(), raw=st.booleans())
@quickly
def test_residual_norms_never_grow_with_k(
    either_way: str, problem: tuple[Tensor, Tensor], raw: bool
) -> None:
    targets, atoms = problem
    before = targets.norm(dim=1)
    for k in (1, 2, 3, 5, 8, 13, 21, 34):
        norms = omp(targets, atoms, k, selection="raw" if raw else "normalized").residual_norms
        assert (norms <= before * (1 + 1e-5) + 1e-5).all()
        before = norms


@given(problem=problems(), k=st.integers(1, 40))
@quickly
def test_the_span_of_a_support_is_never_nearly_dependent(
    either_way: str, problem: tuple[Tensor, Tensor], k: int
) -> None:
    targets, atoms = problem
    codes = omp(targets, atoms, k)
    unit = torch.nn.functional.normalize(atoms.double(), dim=1)
    for support in codes.support:
        chosen = unit[support[support >= 0]]
        if len(chosen):
            pivots = torch.linalg.qr(chosen.T).R.diagonal().abs()
            assert pivots.min() > 0.9 * 1e-5**0.5


@given(problem=problems(), k=st.integers(1, 24), raw=st.booleans())
@quickly
def test_both_ways_explain_targets_equally_well(
    problem: tuple[Tensor, Tensor], k: int, raw: bool
) -> None:
    targets, atoms = problem
    norms = []
    for way in ("products", "gram"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coding, "gram_pays", lambda *_, way=way: way == "gram")
            codes = omp(targets, atoms, k, selection="raw" if raw else "normalized")
            norms.append(codes.residual_norms)
    torch.testing.assert_close(*norms, rtol=1e-2, atol=1e-3)
