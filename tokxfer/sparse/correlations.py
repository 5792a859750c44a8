"""Two ways to correlate every atom with the residuals of a batch: products, or a Gram matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from tokxfer.shapes import Float, Int

# Floating-point operations a device does in the time it reads a byte: what a product costs
# against a row of the Gram matrix.
_OPERATIONS_PER_BYTE = {"cpu": 5.0, "cuda": 20.0}


class Correlations(ABC):
    """Correlate all atoms with what is left of each target of a batch.

    Atoms are cut into blocks of ``width`` (the last filled up with zeros, which no target ever
    chooses), so that the scores of a block are reduced to their peaks while still in cache.
    Buffers are allocated once and shared by all batches.

    Args:
        atoms: The dictionary.
        k: Atoms a target at most.
        batch: Targets a batch at most.
    """

    largest_width: ClassVar[int]
    largest_batch: ClassVar[int]

    def __init__(self, atoms: Float[Tensor, "atoms dim"], k: int, batch: int) -> None:
        size, dim = atoms.shape
        self.k = k
        self.width = min(self.largest_width, size)
        count = -(-size // self.width)
        self.blocks = atoms.new_zeros(count, self.width, dim)
        self.blocks.view(-1, dim)[:size] = atoms
        self._scores = atoms.new_empty(count, batch, self.width)
        self._high, self._low = atoms.new_empty(2, count, batch)

    def scores(
        self, support: Int[Tensor, "batch step"], coefficients: Float[Tensor, "batch step"]
    ) -> tuple[Float[Tensor, "blocks batch width"], Float[Tensor, "blocks batch"]]:
        """Correlate every atom with targets − coefficients · support.

        Returns:
            Scores, and the largest absolute score of each block; overwritten by the next call.
        """
        batch = support.shape[0]
        self._fit(support, coefficients)
        for block, scores in enumerate(self._scores[:, :batch]):
            self._correlate(block, scores)
            high, low = self._high[block, :batch], self._low[block, :batch]
            torch.amax(scores, 1, out=high)
            torch.amin(scores, 1, out=low)
            torch.maximum(high, low.neg_(), out=high)
        return self._scores[:, :batch], self._high[:, :batch]

    @abstractmethod
    def start(self, targets: Float[Tensor, "batch dim"]) -> None:
        """Take a new batch of targets."""

    @abstractmethod
    def append(
        self, support: Int[Tensor, "batch step"], new: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch step"]:
        """Add an atom to each support; return its products with the atoms already there."""

    @abstractmethod
    def _fit(
        self, support: Int[Tensor, "batch step"], coefficients: Float[Tensor, "batch step"]
    ) -> None:
        """Take the present coefficients."""

    @abstractmethod
    def _correlate(self, block: int, out: Float[Tensor, "batch width"]) -> None:
        """Write the scores of one block of atoms."""

    @classmethod
    def fixed_bytes(cls, atoms: int, dim: int) -> int:
        """Count the bytes that do not depend on the batch."""
        return 4 * cls._padded(atoms) * dim

    @classmethod
    def target_bytes(cls, atoms: int, dim: int, k: int) -> int:
        """Count the bytes that every target of a batch takes."""
        width = min(cls.largest_width, atoms)
        return 4 * (cls._padded(atoms) + 3 * width + 4 * dim + 3 * k)

    @classmethod
    def _padded(cls, atoms: int) -> int:
        width = min(cls.largest_width, atoms)
        return -(-atoms // width) * width


class Products(Correlations):
    """Every step multiplies all atoms with the residuals: many operations, little memory."""

    largest_width = 512
    largest_batch = 1024

    def __init__(self, atoms: Float[Tensor, "atoms dim"], k: int, batch: int) -> None:
        super().__init__(atoms, k, batch)
        self._chosen = atoms.new_empty(batch, k, atoms.shape[1])
        self._residuals = atoms.new_empty(batch, atoms.shape[1])

    def start(self, targets: Float[Tensor, "batch dim"]) -> None:
        """Take a new batch of targets."""
        self._targets = targets

    def append(
        self, support: Int[Tensor, "batch step"], new: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch step"]:
        """Add an atom to each support; return its products with the atoms already there."""
        batch, step = support.shape
        atoms = self.blocks.flatten(0, 1)[new]
        self._chosen[:batch, step] = atoms
        chosen = self._chosen[:batch, :step]
        return torch.bmm(atoms.unsqueeze(1), chosen.transpose(1, 2)).squeeze(1)

    def _fit(
        self, support: Int[Tensor, "batch step"], coefficients: Float[Tensor, "batch step"]
    ) -> None:
        batch, step = support.shape
        self._residual = self._residuals[:batch].copy_(self._targets)
        chosen = self._chosen[:batch, :step]
        self._residual.unsqueeze(1).baddbmm_(coefficients.unsqueeze(1), chosen, alpha=-1.0)

    def _correlate(self, block: int, out: Float[Tensor, "batch width"]) -> None:
        torch.mm(self._residual, self.blocks[block].T, out=out)

    @classmethod
    def target_bytes(cls, atoms: int, dim: int, k: int) -> int:
        """Count the bytes that every target of a batch takes."""
        return super().target_bytes(atoms, dim, k) + 4 * (k + 2) * dim


class Gram(Correlations):
    """Batch-OMP: the products of all atoms once, then as many of its rows a step as are chosen.

    The matrix is kept as ``[blocks, atoms, width]``, so that within a block the targets of a batch
    find each other's rows in cache.

    Source: R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm
    using Batch Orthogonal Matching Pursuit" (2008), section 2.2.
    """

    largest_width = 256  # [atoms, 256] float32 of the matrix stay in a large shared cache
    largest_batch = 2048

    def __init__(self, atoms: Float[Tensor, "atoms dim"], k: int, batch: int) -> None:
        super().__init__(atoms, k, batch)
        self._gram = _blocked_gram(self.blocks)
        self._start = torch.empty_like(self._scores)

    def start(self, targets: Float[Tensor, "batch dim"]) -> None:
        """Take a new batch of targets."""
        for atoms, out in zip(self.blocks, self._start[:, : targets.shape[0]], strict=True):
            torch.mm(targets, atoms.T, out=out)

    def append(
        self, support: Int[Tensor, "batch step"], new: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch step"]:
        """Add an atom to each support; return its products with the atoms already there."""
        block, column = new // self.width, new % self.width
        return self._gram[block.unsqueeze(1), support, column.unsqueeze(1)]

    def _fit(
        self, support: Int[Tensor, "batch step"], coefficients: Float[Tensor, "batch step"]
    ) -> None:
        self._support, self._coefficients = support.contiguous(), coefficients.contiguous()

    def _correlate(self, block: int, out: Float[Tensor, "batch width"]) -> None:
        start = self._start[block, : out.shape[0]]
        if not self._support.shape[1]:
            out.copy_(start)
            return
        fitted = embedding_bag(
            self._support, self._gram[block], mode="sum", per_sample_weights=self._coefficients
        )
        torch.sub(start, fitted, out=out)

    @classmethod
    def fixed_bytes(cls, atoms: int, dim: int) -> int:
        """Count the bytes that do not depend on the batch."""
        return super().fixed_bytes(atoms, dim) + 4 * cls._padded(atoms) ** 2

    @classmethod
    def target_bytes(cls, atoms: int, dim: int, k: int) -> int:
        """Count the bytes that every target of a batch takes."""
        return super().target_bytes(atoms, dim, k) + 4 * cls._padded(atoms)


def gram_pays(targets: int, atoms: int, dim: int, k: int, device: torch.device) -> bool:
    """Compare what the two ways cost: operations of products, bytes read of a Gram matrix.

    Products take 2 · k · atoms · dim operations a target. The Gram matrix takes 2 · atoms² · dim
    once, 2 · atoms · dim a target to start with, and reads 2 · k² · atoms bytes a target.

    Args:
        targets: Rows to code.
        atoms: Rows of the dictionary.
        dim: Their width.
        k: Atoms a row.
        device: Where the work runs.

    Returns:
        Whether the Gram matrix is the cheaper way, memory aside.
    """
    saved = dim * (k - 1 - atoms / targets)
    return saved > _OPERATIONS_PER_BYTE.get(device.type, 20.0) * k * k


def _blocked_gram(
    blocks: Float[Tensor, "blocks width dim"],
) -> Float[Tensor, "blocks padded width"]:
    """Multiply all atoms with all: ``[b, i, j]`` is atom i times atom j of block b.

    Products are taken once for every pair of blocks; the other half is their mirror image.
    """
    count, width, _ = blocks.shape
    gram = blocks.new_empty(count, count, width, width)
    for block in range(count):
        below = gram[block, block:].view(-1, width)
        torch.mm(blocks[block:].flatten(0, 1), blocks[block].T, out=below)
        gram[block + 1 :, block] = gram[block, block + 1 :].transpose(1, 2)
    return gram.flatten(1, 2)
