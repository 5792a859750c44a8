"""Products of a linear head in tiles: half precision in, single precision out, on any device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from tokxfer.bytelevel.products import faster
from tokxfer.bytelevel.products import product as fast_product
from tokxfer.shapes import Float

P = ParamSpec("P")
R = TypeVar("R")

# Numbers of a tile, and the most rows and columns of it. On a CPU a tile of 8 MB stays in cache
# between the passes over it; elsewhere it is to be large enough that starting them costs nothing.
# Few positions could have all columns at once, of which the head's gradient would be there twice.
TILE = {"cpu": (2**21, 1024, 2**13)}
ELSEWHERE = (2**26, 8192, 2**16)
SMALLEST = 16  # narrower products are not worth a choice of library


def tile_size(positions: int, device: torch.device, rows: int | None = None) -> tuple[int, int]:
    """Rows and columns of the tiles in which logits are computed.

    Args:
        positions: Rows that there are.
        device: Where they are.
        rows: The most rows of a tile, or None for what was measured to be fast.
    """
    numbers, most, widest = TILE.get(device.type, ELSEWHERE)
    rows = max(1, min(positions, rows or most))
    return rows, max(SMALLEST, min(widest, numbers // rows))


def operand_types(left: Tensor, right: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The type that is multiplied, and the one that sums have, at least single precision.

    Under autocast CUDA multiplies what it would there; other devices gain nothing by half types.
    """
    kind = left.device.type
    narrow = torch.promote_types(left.dtype, right.dtype)
    if kind == "cuda" and torch.is_autocast_enabled(kind) and narrow != torch.float64:
        narrow = torch.get_autocast_dtype(kind)
    wide = torch.promote_types(narrow, torch.float32)
    return (narrow if kind == "cuda" else wide), wide


def exactly(work: Callable[P, R]) -> Callable[P, R]:
    """Do some work in the types that it chooses itself, whatever autocast would have."""

    @wraps(work)
    def done(*given: P.args, **named: P.kwargs) -> R:
        kinds = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
        with ExitStack() as stack:
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            return work(*given, **named)

    return done


def product(
    left: Float[Tensor, "rows inner"], right: Float[Tensor, "columns inner"], wide: torch.dtype
) -> Float[Tensor, "rows columns"]:
    """`left @ right.T`, summed and given in type `wide`."""
    if left.dtype != wide:
        return _half_product(left, right, wide)
    alike = left.device.type == "cpu" and wide == torch.float32
    if alike and min(*left.shape, *right.shape) >= SMALLEST and faster():
        return fast_product(left, right)
    return left @ right.T


def _half_product(left: Tensor, right: Tensor, wide: torch.dtype) -> Tensor:
    try:
        return torch.mm(left, right.T, out_dtype=wide)
    except (TypeError, RuntimeError):  # a torch before 2.8, or a device that cannot
        return left.to(wide) @ right.to(wide).T
