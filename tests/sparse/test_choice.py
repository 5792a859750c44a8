"""Which way `omp` takes follows from sizes and memory."""

from __future__ import annotations

import pytest
import torch

from tokxfer.sparse import coding, omp
from tokxfer.sparse.coding import plan
from tokxfer.sparse.correlations import Gram, Products, gram_pays

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("targets", "atoms", "dim", "k", "pays"),
    [
        (5_000, 20_000, 512, 64, True),
        (5_000, 20_000, 2048, 64, True),
        (5_000, 20_000, 256, 64, False),  # rows of the matrix are as long as products are short
        (5_000, 20_000, 512, 128, False),
        (300, 20_000, 512, 64, False),  # too few targets to earn the matrix back
    ],
)
def test_the_gram_matrix_pays_for_wide_rows_and_many_targets(
    targets: int, atoms: int, dim: int, k: int, pays: bool
) -> None:
    assert gram_pays(targets, atoms, dim, k, CPU) is pays


def test_a_device_with_fast_products_prefers_them() -> None:
    assert not gram_pays(5_000, 20_000, 1024, 64, torch.device("cuda"))


@pytest.mark.parametrize(("budget", "way"), [(10**9, Gram), (1_500_000, Products), (1, Products)])
def test_a_small_budget_falls_back_to_products(budget: int, way: type) -> None:
    chosen, batch = plan(2000, 500, 200, 8, CPU, budget)
    assert chosen is way
    assert (batch == 1) == (budget == 1)


def test_buffers_stay_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the bytes of every tensor made through the allocator."""
    atoms, targets = torch.randn(2000, 64), torch.randn(600, 64)
    for way, budget in (("products", 4_000_000), ("gram", 30_000_000)):
        monkeypatch.setattr(coding, "gram_pays", lambda *_, way=way: way == "gram")
        with torch.profiler.profile(profile_memory=True) as profile:
            omp(targets, atoms, 12, memory_budget=budget)
        held = peak = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                peak = max(peak, held)
        assert 0 < peak <= 1.2 * budget, way


def test_batches_are_of_one_size() -> None:
    assert plan(1025, 100, 20, 4, CPU, 10**9) == (Products, 513)
