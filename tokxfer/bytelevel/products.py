"""Matrix products of linear layers by the faster of the two libraries that torch has on a CPU.

In single precision torch multiplies with MKL, which on processors of other makers than its own
takes about twice the time of oneDNN, the library behind torch's convolutions. Both are exact in
single precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from tokxfer.shapes import Float

ROWS = 16  # fewer read the weights at the speed of memory, whoever multiplies
GAIN = 1.2  # what it must gain on a sample, so that chance does not decide
SAMPLE = (128, 512, 512)  # rows, and the two widths of the sample's weights


class Products(TorchFunctionMode):
    """Within it, linear layers without gradients multiply many rows with oneDNN."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Multiply, where that is what is asked for; let torch do everything else."""
        if func is torch.nn.functional.linear and not kwargs and suits(args[0], args[1]):
            return product(*args)
        if func is torch.addmm and not kwargs and suits(args[1], args[2]) and args[0].dim() == 1:
            return product(args[1], args[2].t(), args[0])
        return func(*args, **(kwargs or {}))


def products(device: torch.device, dtype: torch.dtype, rows: int) -> AbstractContextManager[Any]:
    """What to run a model in that reads so many rows: faster products, where there are any."""
    plain = device.type != "cpu" or dtype != torch.float32 or rows < ROWS
    if plain or torch.is_grad_enabled() or not faster():
        return nullcontext()
    return Products()


def suits(inputs: torch.Tensor, weights: torch.Tensor) -> bool:
    """Whether a product is one of many rows in single precision, with nothing to differentiate."""
    return (
        type(weights)
        in (torch.Tensor, torch.nn.Parameter)  # what is quantized is a type of its own
        and inputs.dtype == weights.dtype == torch.float32
        and inputs.device.type == weights.device.type == "cpu"
        and not torch.is_grad_enabled()
        and inputs.numel() >= ROWS * inputs.shape[-1] > 0
        and not torch.is_autocast_enabled("cpu")
    )


def product(
    inputs: Float[torch.Tensor, "*rows dim"],
    weights: Float[torch.Tensor, "out dim"],
    bias: Float[torch.Tensor, " out"] | None = None,
) -> Float[torch.Tensor, "*rows out"]:
    """`inputs @ weights.T + bias`, with oneDNN."""
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weights, bias, "none", [], "")
    return found


@cache
def faster() -> bool:
    """Whether oneDNN is there and gains something on this processor; tried once, in 5 ms."""
    rows, dim, out = SAMPLE
    inputs, weights, bias = torch.ones(rows, dim), torch.ones(out, dim), torch.ones(out)
    try:
        with torch.no_grad():
            ours = seconds(lambda: product(inputs, weights, bias))
            theirs = seconds(lambda: torch.nn.functional.linear(inputs, weights, bias))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return ours * GAIN < theirs


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The least time that some work takes, of a few times behind one that warms up."""
    work()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)
