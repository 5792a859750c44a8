"""The least-squares part of OMP: coefficients on supports that are already chosen."""

from __future__ import annotations

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
    room = working_memory(targets.device, memory_budget)
    batch = min(_LARGEST_BATCH, max(1, room // (8 * (k + 1) * (2 * atoms.shape[1] + 3 * k))))
    with exact_float32(targets.device):
        weight = ridge * float(row_lengths(atoms).double().square().mean()) if ridge else 0.0
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            used = support[part] >= 0
            rows = atoms[support[part].clamp(min=0)].double()
            target = targets[part].double()
            found = _solve(target, rows, used, weight)
            if cap is not None:
                total = found.abs().sum(1, keepdim=True)
                found *= torch.where(total > cap, cap / total, 1.0)
            coefficients[part] = found.float()
            fitted = torch.bmm(coefficients[part].double().unsqueeze(1), rows).squeeze(1)
            norms[part] = torch.linalg.vector_norm(target - fitted, dim=1).float()
    return SparseCodes(support, coefficients, norms)


def _solve(
    target: Float[Tensor, "batch dim"],
    rows: Float[Tensor, "batch k dim"],
    used: Bool[Tensor, "batch k"],
    weight: float,
) -> Float[Tensor, "batch k"]:
    """Solve the normal equations of every target; a place not used stands for 1 · c = 0."""
    both = used.unsqueeze(1) & used.unsqueeze(2)
    gram = torch.bmm(rows, rows.transpose(1, 2)).masked_fill_(~both, 0.0)
    gram.diagonal(dim1=1, dim2=2).add_(torch.where(used, weight, 1.0))
    right = torch.bmm(target.unsqueeze(1), rows.transpose(1, 2)).masked_fill_(
        ~used.unsqueeze(1), 0.0
    )
    factor, _ = torch.linalg.cholesky_ex(gram)
    return torch.cholesky_solve(right.transpose(1, 2), factor).squeeze(2)
