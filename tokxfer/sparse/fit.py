"""The least-squares part of OMP: coefficients on supports that are already chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokxfer.shapes import Bool, Float, Int
from tokxfer.sparse.memory import working_memory
from tokxfer.sparse.precision import exact_float32, row_lengths

_LARGEST_BATCH = 64  # the rows of this many supports stay in cache between their uses


@dataclass(frozen=True, eq=False)
class SparseCodes:
    """Rows written as sums of few atoms: row i ≈ Σ coefficients[i, s] · atoms[support[i, s]].

    Attributes:
        support: int64 [targets, k], atoms in the order chosen, −1 in places not used (always last).
        coefficients: float32 [targets, k], in terms of the atoms as given, 0 in places not used.
        residual_norms: float32 [targets], length of what these coefficients leave over, in the
            targets' own unit.
    """

    support: Tensor
    coefficients: Tensor
    residual_norms: Tensor


def solve_support(
    targets: Tensor,
    atoms: Tensor,
    support: Tensor,
    *,
    ridge: float = 0.0,
    memory_budget: int | None = None,
) -> Tensor:
    """Fit coefficients on given supports by least squares.

    Supports of `omp` are nested: the first places of one are what a smaller k would have chosen.
    One pursuit and several calls of this function therefore try many values of k and of ridge.

    Args:
        targets: Rows to write as sums of atoms [targets, dim], any floating dtype.
        atoms: The dictionary [atoms, dim], any floating dtype, on the targets' device.
        support: int64 [targets, k], −1 in places not used; the atoms of a row must be linearly
            independent unless ridge is positive.
        ridge: Weight of the penalty ridge · m · Σ c² added to the squared error, where m is the
            mean squared length of all atoms, so that it means the same in any unit. All
            coefficients are penalized alike, whatever the length of their atom.
        memory_budget: Bytes of buffers allowed; None for half of what is free.

    Returns:
        Coefficients, float32 [targets, k], 0 in places not used.

    Raises:
        UsageError: If memory_budget is not positive.

    Example:
        >>> import torch
        >>> solve_support(torch.tensor([[2.0, 6.0]]), torch.eye(2), torch.tensor([[1, -1]]))
        tensor([[6., 0.]])
    """
    return fit(targets, atoms, support, ridge, None, memory_budget).coefficients


def solve_path(
    targets: Tensor,
    atoms: Tensor,
    support: Tensor,
    sizes: Sequence[int],
    ridges: Sequence[float],
    *,
    memory_budget: int | None = None,
) -> dict[tuple[int, float], Tensor]:
    """Fit the leading places of supports, for many sizes and ridges, from one set of products.

    The Cholesky factor of the first places is the leading part of the factor of all, so that each
    ridge takes one factorization, and each size of it one triangular solve.

    Args:
        targets, atoms, support: See `solve_support`.
        sizes: How many leading places of the support to use, each at most k.
        ridges: Penalties, as of `solve_support`.
        memory_budget: See `solve_support`.

    Returns:
        For each size and ridge the coefficients, float32 [targets, size].

    Raises:
        UsageError: If memory_budget is not positive.
    """
    count, k = support.shape
    device = targets.device
    found = {
        (size, ridge): torch.zeros(count, size, device=device) for size in sizes for ridge in ridges
    }
    batch = batch_size(atoms, k, device, memory_budget)
    with exact_float32(device):
        unit = float(row_lengths(atoms).double().square().mean())
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            used = support[part] >= 0
            rows = atoms[support[part].clamp(min=0)].double()
            gram, right = products(targets[part].double(), rows, used)
            for ridge in ridges:
                factor, reduced = factorize(gram, right, used, ridge * unit)
                for size in sizes:
                    upper = factor[:, :size, :size].mT
                    solved = torch.linalg.solve_triangular(upper, reduced[:, :size], upper=True)
                    found[size, ridge][part] = solved.squeeze(2).float()
    return found


def fit(
    targets: Float[Tensor, "targets dim"],
    atoms: Float[Tensor, "atoms dim"],
    support: Int[Tensor, "targets k"],
    ridge: float,
    cap: float | None,
    memory_budget: int | None,
) -> SparseCodes:
    """Fit coefficients in float64, scale down rows above the cap, and measure what is left over.

    Args:
        targets: See `solve_support`.
        atoms: See `solve_support`.
        support: See `solve_support`.
        ridge: See `solve_support`.
        cap: Highest sum of absolute coefficients of a row, or None.
        memory_budget: See `solve_support`.
    """
    count, k = support.shape
    coefficients = torch.zeros(count, k, device=targets.device)
    norms = torch.zeros(count, device=targets.device)
    batch = batch_size(atoms, k, targets.device, memory_budget)
    with exact_float32(targets.device):
        weight = ridge * float(row_lengths(atoms).double().square().mean()) if ridge else 0.0
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            used = support[part] >= 0
            rows = atoms[support[part].clamp(min=0)].double()
            target = targets[part].double()
            factor, reduced = factorize(*products(target, rows, used), used, weight)
            found = torch.linalg.solve_triangular(factor.mT, reduced, upper=True).squeeze(2)
            if cap is not None:
                total = found.abs().sum(1, keepdim=True)
                found *= torch.where(total > cap, cap / total, 1.0)
            coefficients[part] = found.float()
            fitted = torch.bmm(coefficients[part].double().unsqueeze(1), rows).squeeze(1)
            norms[part] = torch.linalg.vector_norm(target - fitted, dim=1).float()
    return SparseCodes(support, coefficients, norms)


def batch_size(
    atoms: Float[Tensor, "atoms dim"], k: int, device: torch.device, memory_budget: int | None
) -> int:
    """How many supports of k atoms are fitted at once."""
    room = working_memory(device, memory_budget)
    return min(_LARGEST_BATCH, max(1, room // (8 * (k + 1) * (2 * atoms.shape[1] + 4 * k))))


def products(
    target: Float[Tensor, "batch dim"],
    rows: Float[Tensor, "batch k dim"],
    used: Bool[Tensor, "batch k"],
) -> tuple[Float[Tensor, "batch k k"], Float[Tensor, "batch k 1"]]:
    """Products of supports' atoms with each other and with the target; 0 in places not used."""
    both = used.unsqueeze(1) & used.unsqueeze(2)
    gram = torch.bmm(rows, rows.mT).masked_fill_(~both, 0.0)
    right = torch.bmm(rows, target.unsqueeze(2)).masked_fill_(~used.unsqueeze(2), 0.0)
    return gram, right


def factorize(
    gram: Float[Tensor, "batch k k"],
    right: Float[Tensor, "batch k 1"],
    used: Bool[Tensor, "batch k"],
    weight: float,
) -> tuple[Float[Tensor, "batch k k"], Float[Tensor, "batch k 1"]]:
    """The lower factor L of the penalized normal equations L Lᵀ c = right, and L⁻¹ right.

    A place not used stands for 1 · c = 0.
    """
    extra = torch.diag_embed(torch.where(used, weight, 1.0).to(gram.dtype))
    factor, _ = torch.linalg.cholesky_ex(gram + extra)
    return factor, torch.linalg.solve_triangular(factor, right, upper=False)
