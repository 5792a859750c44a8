"""The greedy part of OMP: which atoms, for a batch of targets at once."""

from __future__ import annotations

import torch
from torch import Tensor

from tokxfer.shapes import Float, Int
from tokxfer.sparse.correlations import Correlations


class Pursuit:
    """Choose atoms one by one, with the inverse Cholesky factor of their Gram matrix kept up.

    Let U be the chosen atoms of a target x and W the lower triangular matrix with
    W (U Uᵀ) Wᵀ = 1. A new atom u with products g = U u has the part of length
    pivot = √(|u|² − |W g|²) outside the span of U; its row in W is (−gᵀWᵀW, 1) / pivot, and the
    least-squares coefficients grow by (correlation / pivot) times that row. This small algebra is
    done in float64, everything of the size of the atoms in float32. Vectors multiply from the
    left, as rows: batched products with single columns are several times slower on a CPU.

    Args:
        correlations: The atoms, and how to correlate them.
        sizes: Length of each atom as given to ``correlations``, 0 for atoms to pass over.
        scales: What each atom was divided by; coefficients are measured in undivided atoms.
        k: Atoms a target at most.
        batch: Targets a batch at most.
        tolerance: A correlation below this share of |x||u|, or a squared pivot below this share
            of |u|², is negligible: the target is finished.
        cap: Highest sum of absolute coefficients, or None.
    """

    def __init__(
        self,
        correlations: Correlations,
        sizes: Float[Tensor, " atoms"],
        scales: Float[Tensor, " atoms"],
        *,
        k: int,
        batch: int,
        tolerance: float,
        cap: float | None,
    ) -> None:
        self._correlations = correlations
        self._sizes, self._scales = sizes.double(), scales.double()
        self._k, self._tolerance, self._cap = k, tolerance, cap
        self._factor = self._sizes.new_empty(batch, k, k)

    @staticmethod
    def target_bytes(k: int) -> int:
        """Count the bytes that every target of a batch takes."""
        return 8 * (k * k + 8 * k)

    def run(
        self, targets: Float[Tensor, "batch dim"], lengths: Float[Tensor, " batch"]
    ) -> Int[Tensor, "batch k"]:
        """Choose the atoms of a batch of targets.

        Args:
            targets: Rows of length 1 (or 0).
            lengths: What each was divided by; matters to ``cap`` alone.

        Returns:
            Atoms in the order chosen, −1 in places not used.
        """
        batch, k = targets.shape[0], self._k
        support = torch.zeros(batch, k, dtype=torch.int64, device=targets.device)
        used = torch.zeros(batch, dtype=torch.int64, device=targets.device)
        coefficients = self._factor.new_zeros(batch, k)
        factor = self._factor[:batch].zero_()
        alive = torch.ones_like(used, dtype=torch.bool)
        self._correlations.start(targets)
        for step in range(k):
            chosen = support[:, :step]
            new, score = self._best(chosen, coefficients[:, :step].float())
            size = self._sizes[new]
            alive &= score.abs() > self._tolerance * size
            alive &= ~(chosen == new.unsqueeze(1)).any(1)
            cross = self._correlations.append(chosen, new).double().unsqueeze(1)
            inner = factor[:, :step, :step]
            within = torch.bmm(cross, inner.transpose(1, 2))
            pivot = size.square() - within.square().sum((1, 2))
            alive &= pivot > self._tolerance * size.square()
            inverse = torch.where(alive, pivot, 1.0).rsqrt()
            row = factor[:, step, : step + 1]
            row[:, :step] = torch.bmm(within, inner).squeeze(1).neg_()
            row[:, step] = 1.0
            row *= (inverse * alive).unsqueeze(1)
            grown = coefficients[:, : step + 1] + row * (score * inverse).unsqueeze(1)
            support[:, step] = torch.where(alive, new, 0)
            if self._cap is not None and step:
                scales = self._scales[support[:, : step + 1]]
                total = (grown / scales).abs().sum(1) * lengths
                alive &= total <= self._cap
            coefficients[:, : step + 1] = torch.where(
                alive.unsqueeze(1), grown, coefficients[:, : step + 1]
            )
            used += alive
            if not bool(alive.any()):
                break
        places = torch.arange(k, device=targets.device)
        return torch.where(places < used.unsqueeze(1), support, -1)

    def _best(
        self, support: Int[Tensor, "batch step"], coefficients: Float[Tensor, "batch step"]
    ) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Find the atom with the largest absolute correlation, and that correlation."""
        values, peaks = self._correlations.scores(support, coefficients)
        block = peaks.argmax(0)
        rows = values[block, torch.arange(block.shape[0], device=block.device)]
        column = rows.abs().argmax(1, keepdim=True)
        score = rows.gather(1, column).squeeze(1).double()
        last = self._sizes.shape[0] - 1  # a place of the filling has score 0 and ends the target
        return (block * self._correlations.width + column.squeeze(1)).clamp_(max=last), score
