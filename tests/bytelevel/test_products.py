"""Products of linear layers by the faster library are the same products."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from tests.tiny import build_model
from tokxfer.bytelevel import products as room
from tokxfer.bytelevel.products import Products, faster, products
from tokxfer.bytelevel.treemodel import answers

CPU = torch.device("cpu")
ROUNDING = 1e-5  # single precision, sums of some dozens of products


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what was multiplied by the other library, which is taken for the faster one."""
    found: list[tuple[int, ...]] = []
    multiply = room.product

    def noting(inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
        found.append(tuple(inputs.shape))
        return multiply(inputs, *rest)

    monkeypatch.setattr(room, "product", noting)
    monkeypatch.setattr(room, "faster", lambda: True)
    return found


@pytest.mark.parametrize("shape", [(16, 24), (3, 40, 24), (2, 2, 9, 24)])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_a_linear_layer_gives_what_double_precision_gives(
    taken: list[Any], shape: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(24, 10, bias=bias), torch.randn(shape)
    with Products():
        found = layer(inputs)
    exact = linear(inputs.double(), layer.weight.double(), layer.bias.double() if bias else None)
    assert taken == [shape]
    assert torch.allclose(found.double(), exact, rtol=ROUNDING, atol=ROUNDING)


@torch.no_grad()
def test_weights_that_lie_the_other_way_round_give_the_same(taken: list[Any]) -> None:
    torch.manual_seed(0)
    bias, inputs, weights = torch.randn(10), torch.randn(20, 24), torch.randn(24, 10)
    with Products():
        found = torch.addmm(bias, inputs, weights)
    assert taken == [(20, 24)]
    assert torch.allclose(found, bias + inputs @ weights, rtol=ROUNDING, atol=ROUNDING)


def test_what_is_differentiated_goes_by_torch_alone(taken: list[Any]) -> None:
    layer = nn.Linear(4, 3)
    with Products():
        layer(torch.randn(20, 4)).sum().backward()
    assert not taken
    assert layer.weight.grad is not None


@pytest.mark.parametrize(
    "inputs", [torch.randn(15, 4), torch.randn(20, 4).double(), torch.randn(0, 4)]
)
@torch.no_grad()
def test_few_rows_and_other_precisions_go_by_torch_alone(
    taken: list[Any], inputs: torch.Tensor
) -> None:
    layer = nn.Linear(4, 3).to(inputs.dtype)
    with Products():
        assert layer(inputs).shape == (len(inputs), 3)
    assert not taken


@torch.no_grad()
def test_weights_of_a_type_of_their_own_multiply_as_they_will(taken: list[Any]) -> None:
    class Quantized(torch.Tensor):
        pass

    weights = torch.randn(3, 4).as_subclass(Quantized)
    with Products():
        assert linear(torch.randn(20, 4), weights).shape == (20, 3)
    assert not taken


@torch.no_grad()
def test_autocast_is_left_to_torch(taken: list[Any]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), Products():
        assert nn.Linear(4, 3)(torch.randn(20, 4)).dtype == torch.bfloat16
    assert not taken


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@torch.no_grad()
def test_a_model_answers_alike_by_both(taken: list[Any], kind: str) -> None:
    model = build_model(kind, rows=50).eval()
    told = {"input_ids": torch.arange(40)[None], "use_cache": False}
    found = answers(model, told)
    assert taken
    assert torch.allclose(found, model(**told).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "rows"), [(torch.float64, 100), (torch.bfloat16, 100), (torch.float32, 15)]
)
@torch.no_grad()
def test_models_that_would_gain_nothing_run_as_they_are(
    taken: list[Any], dtype: torch.dtype, rows: int
) -> None:
    assert isinstance(products(CPU, dtype, rows), nullcontext)
    assert isinstance(products(CPU, torch.float32, 100), Products)
    with torch.enable_grad():
        assert isinstance(products(CPU, torch.float32, 100), nullcontext)


def test_the_slower_library_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    faster.cache_clear()
    times = iter([1.0, 1.1, 1.0, 1.3])
    monkeypatch.setattr(room, "seconds", lambda _: next(times))
    assert not faster()
    faster.cache_clear()
    assert faster()
    faster.cache_clear()


def test_a_torch_without_the_library_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> torch.Tensor:
        raise AttributeError("_linear_pointwise")

    faster.cache_clear()
    monkeypatch.setattr(room, "product", missing)
    assert not faster()
    faster.cache_clear()
