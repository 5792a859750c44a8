"""Costs of documents, and the figures that follow from them, however they were found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokxfer.errors import TokxferError


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over documents, with its standard error.

    Args:
        value: Sum of the numerators over sum of the denominators.
        stderr: Standard error of `value` over documents, None for a single one.
    """

    value: float
    stderr: float | None

    @classmethod
    def of(cls, numerators: NDArray[Any], denominators: NDArray[Any]) -> Ratio:
        r"""Estimate a ratio R = sum(y) / sum(x) and its standard error from paired documents.

        stderr = sqrt(n / (n - 1) * sum((y - R x)^2)) / sum(x), for n documents.

        Source: Cochran, Sampling Techniques, 3rd ed., eq. 6.13, without the finite correction.
        """
        y, x = numerators.astype(np.float64), denominators.astype(np.float64)
        count, total = len(x), float(x.sum())
        value = float(y.sum()) / total
        if count < 2:
            return cls(value, None)
        spread = float(np.square(y - value * x).sum()) * count / (count - 1)
        return cls(value, math.sqrt(spread) / total)


class Figures:
    """What follows from the costs of documents and their sizes.

    Attributes:
        model: The name of the model they are the costs of.
        nats: Minus the natural logarithm of each document's probability, float64 [documents].
        document_bytes: UTF-8 bytes of each document as given, int64 [documents].
    """

    model: str
    nats: NDArray[np.float64]
    document_bytes: NDArray[np.int64]

    @property
    def documents(self) -> int:
        """Documents scored."""
        return len(self.nats)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the documents as given."""
        return int(self.document_bytes.sum())

    @property
    def bits_per_byte(self) -> float:
        """Minus the binary logarithm of the documents' probability, per UTF-8 byte."""
        return Ratio.of(self.nats, self.document_bytes).value / math.log(2)

    @property
    def stderr(self) -> float | None:
        """Standard error of `bits_per_byte` over documents; None for a single one."""
        error = Ratio.of(self.nats, self.document_bytes).stderr
        return None if error is None else error / math.log(2)

    def ratio(self, base: Figures) -> Ratio:
        """Bits per byte over the base's, paired by document.

        Raises:
            TokxferError: The two were not evaluated on the same documents.
        """
        if not np.array_equal(self.document_bytes, base.document_bytes):
            raise TokxferError(f"{self.model} and {base.model} were evaluated on different texts.")
        return Ratio.of(self.nats, base.nats)
