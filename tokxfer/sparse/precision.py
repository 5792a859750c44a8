"""Arithmetic that is what it says: no autocast, no TF32, no gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Run products in true float32 and record no gradients, whatever the caller has switched on.

    TF32 and bfloat16 products carry errors of 1e-3, far above the tolerance at which a pursuit
    stops. The caller's own setting is restored afterwards.

    Args:
        device: Where the work runs.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def row_lengths(rows: Tensor) -> Tensor:
    """Measure the Euclidean length of every row, in float32."""
    lengths: Tensor = torch.linalg.vector_norm(rows.float(), dim=1)
    return lengths
