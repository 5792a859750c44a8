"""Orthogonal Matching Pursuit for many targets at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tokxfer.errors import TokxferError, UsageError
from tokxfer.sparse.correlations import Correlations, Gram, Products, gram_pays
from tokxfer.sparse.fit import SparseCodes, fit
from tokxfer.sparse.memory import working_memory
from tokxfer.sparse.precision import exact_float32, row_lengths
from tokxfer.sparse.pursuit import Pursuit

Selection = Literal["normalized", "raw"]

_SHORTEST = torch.finfo(torch.float32).eps  # atoms this much shorter than the longest are zero


def omp(
    targets: Tensor,
    atoms: Tensor,
    k: int,
    *,
    selection: Selection | str = "normalized",
    ridge: float = 0.0,
    cap: float | None = None,
    tolerance: float = 1e-5,
    memory_budget: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> SparseCodes:
    """Write every target as a sum of at most k atoms, chosen greedily by their correlation.

    Each step takes the atom that correlates most with what is left of the target, then fits all
    chosen atoms anew by least squares. A target is finished early when nothing worth taking is
    left: the residual, or the part of the new atom outside the span of the others, is negligible.
    (With "raw" selection the new atom may be a long one that is negligible in this sense while
    shorter ones are not; the target is finished all the same.)
    So k above the rank, repeated atoms, zero atoms and zero targets are harmless.

    The work is done in float32 (float64 for what is small) on the targets' device. Whether the
    products of all atoms are computed beforehand follows from the sizes and the memory budget;
    either way gives the same codes, to rounding.

    Args:
        targets: Rows to code [targets, dim], any floating dtype.
        atoms: The dictionary [atoms, dim], any floating dtype, on the targets' device.
        k: Atoms a target at most.
        selection: "normalized" takes the atom at the smallest angle to the residual; "raw" takes
            the largest product, which favours long atoms.
        ridge: Penalty ridge · m · Σ c² of the final fit, where m is the mean squared length of
            all atoms (see `solve_support`). It changes the coefficients, not the choice of atoms.
        cap: Highest sum of absolute coefficients of a target. The pursuit ends before the atom
            whose plain least-squares fit would exceed it; what still does (the first atom alone,
            or after ridge) is scaled down to it. None for no limit.
        tolerance: A correlation below this share of |target||atom| is negligible, and so is a
            squared distance to the span of the atoms already chosen below this share of |atom|².
        memory_budget: Bytes of buffers allowed beside inputs and outputs; None for half of what
            is free. At least one target at a time is worked on, however small it is.
        advance: Called with the number of targets finished since the last call.

    Returns:
        Support, coefficients in terms of the atoms as given, and residual norms.

    Raises:
        UsageError: If k < 1, an option is out of range, or the shapes do not fit.
        TokxferError: If targets or atoms hold a value that is not finite.

    Source: Y. Pati, R. Rezaiifar, P. Krishnaprasad, "Orthogonal Matching Pursuit" (1993).

    Example:
        >>> import torch
        >>> codes = omp(torch.tensor([[0.0, 3.0, 4.0]]), torch.eye(3), 2)
        >>> codes.support, codes.coefficients
        (tensor([[2, 1]]), tensor([[4., 3.]]))
    """
    _check(targets, atoms, k, selection, ridge, cap, tolerance)
    count, dim = targets.shape
    support = torch.full((count, k), -1, dtype=torch.int64, device=targets.device)
    room = working_memory(targets.device, memory_budget)
    depth = min(k, dim, atoms.shape[0])  # no more than this can be linearly independent
    if count and depth:
        with exact_float32(targets.device):
            lengths = row_lengths(atoms)
            lengths[lengths <= _SHORTEST * lengths.max()] = 0.0
            scales = _scales(lengths, selection)
            scaled = atoms.float() / scales.unsqueeze(1)
            way, batch = plan(count, len(atoms), dim, depth, targets.device, room)
            pursuit = Pursuit(
                way(scaled, depth, batch),
                lengths / scales,
                scales,
                k=depth,
                batch=batch,
                tolerance=tolerance,
                cap=cap,
            )
            for start in range(0, count, batch):
                part = targets[start : start + batch].float()
                sizes = row_lengths(part)
                unit = part / torch.where(sizes > 0, sizes, 1.0).unsqueeze(1)
                support[start : start + batch, :depth] = pursuit.run(unit, sizes)
                if advance is not None:
                    advance(part.shape[0])
            del pursuit, scaled
    return fit(targets, atoms, support, ridge, cap, room)


def plan(
    count: int, size: int, dim: int, k: int, device: torch.device, room: int
) -> tuple[type[Correlations], int]:
    """Choose the cheaper way of those that fit the memory, and how many targets to take at a time.

    Args:
        count: Targets.
        size: Atoms.
        dim: Their width.
        k: Atoms a target.
        device: Where the work runs.
        room: Bytes of buffers allowed.
    """

    def batch_of(way: type[Correlations]) -> int:
        """All batches of nearly one size, as few as fit; 0 when not even one target fits."""
        free = room - way.fixed_bytes(size, dim) - 4 * size * dim
        each = way.target_bytes(size, dim, k) + Pursuit.target_bytes(k)
        most = min(way.largest_batch, free // each)
        return math.ceil(count / math.ceil(count / most)) if most > 0 else 0

    if gram_pays(count, size, dim, k, device) and batch_of(Gram):
        return Gram, batch_of(Gram)
    return Products, max(1, batch_of(Products))


def _scales(lengths: Tensor, selection: str) -> Tensor:
    """Say by what to divide atoms so that the largest product is the selection's choice.

    Atoms of length 0 are divided by infinity: they correlate with nothing.
    """
    scales = lengths if selection == "normalized" else lengths.max().expand_as(lengths)
    return torch.where(lengths > 0, scales, torch.inf)


def _check(
    targets: Tensor,
    atoms: Tensor,
    k: int,
    selection: str,
    ridge: float,
    cap: float | None,
    tolerance: float,
) -> None:
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    if selection not in ("normalized", "raw"):
        raise UsageError(f"selection must be 'normalized' or 'raw', not {selection!r}")
    if not 0 <= ridge < math.inf:
        raise UsageError(f"ridge must be a finite number of at least 0, not {ridge}")
    if cap is not None and not cap > 0:
        raise UsageError(f"cap must be positive, not {cap}")
    if not 0 < tolerance < 1:
        raise UsageError(f"tolerance must lie between 0 and 1, but is {tolerance}")
    if targets.ndim != 2 or atoms.ndim != 2 or targets.shape[1] != atoms.shape[1]:
        raise UsageError(
            "targets and atoms must be matrices of one width, not "
            f"{tuple(targets.shape)} and {tuple(atoms.shape)}"
        )
    if not atoms.shape[0]:
        raise UsageError("there are no atoms to code with")
    if targets.device != atoms.device:
        raise UsageError(f"targets are on {targets.device}, atoms on {atoms.device}")
    for name, rows in (("targets", targets), ("atoms", atoms)):
        bad = ~torch.isfinite(rows).all(1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise TokxferError(
                f"row {first} of the {name} holds values that are not finite (NaN or infinity); "
                f"{int(bad.sum())} of {rows.shape[0]} rows do"
            )
