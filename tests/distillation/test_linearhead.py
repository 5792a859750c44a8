"""The head in tiles says what the head over all logits says, and so do its gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distillation.heads import Sets, plain
from tokxfer.distillation import headproducts
from tokxfer.distillation.linearhead import FLOOR, head_log_probs


def inputs(
    positions: int = 7, vocab: int = 45, dim: int = 5, dtype: torch.dtype = torch.float64
) -> dict[str, Any]:
    """Random inputs, all wanting gradients; some positions have no label, and some no set."""
    source = torch.Generator().manual_seed(positions + vocab)
    values = [torch.randn(*shape, generator=source, dtype=torch.float64)
              for shape in ((positions, dim), (vocab, dim), (vocab,))]  # fmt: skip
    hidden, weight, bias = (value.to(dtype).requires_grad_() for value in values)
    return {
        "hidden": hidden,
        "weight": weight,
        "bias": bias,
        "labels": torch.randint(-1, vocab, (positions,), generator=source),
        "sets": Sets(torch.rand(4, vocab, generator=source) < 0.3),
        "set_of": torch.randint(-1, 4, (positions,), generator=source),
    }


@pytest.fixture(params=[16, 64])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tiles of so many columns: several of them, or one, over the vocabulary of `inputs`."""
    monkeypatch.setattr(headproducts, "TILE", {"cpu": (request.param * 3, 3, 99)})
    return int(request.param)


@pytest.mark.parametrize("how", [{}, {"scale": 0.3}, {"softcap": 2.0, "scale": 1.5}])
@pytest.mark.parametrize("without", ["", "bias", "sets"])
@pytest.mark.usefixtures("columns")
def test_values_and_gradients_are_those_of_all_logits(how: dict[str, float], without: str) -> None:
    given = inputs()
    if without:
        given[without] = None
    leaves = [given[name] for name in ("hidden", "weight", "bias") if given[name] is not None]
    found, expected = head_log_probs(**given, **how), plain(**given, **how)
    pull = torch.randn(2, len(given["labels"]), dtype=torch.float64)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    sums = [
        sum((one * pull[at]).sum() for at, one in enumerate(logs) if one is not None)
        for logs in (found, expected)
    ]
    for one, other in zip(*(torch.autograd.grad(each, leaves) for each in sums), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("columns")
def test_gradients_pass_gradcheck() -> None:
    given = inputs(positions=4, vocab=20, dim=3)

    def logs(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        found = head_log_probs(
            **(given | {"hidden": hidden, "weight": weight, "bias": bias}), softcap=3.0
        )
        assert found.masses is not None
        return found.labels, found.masses

    assert torch.autograd.gradcheck(logs, (given["hidden"], given["weight"], given["bias"]))


@pytest.mark.usefixtures("columns")
def test_several_sets_at_a_position_are_as_many_calls_with_one() -> None:
    given = inputs()
    groups = torch.stack([given["set_of"], given["set_of"].flip(0), torch.full((7,), -1)], dim=1)
    together = head_log_probs(**(given | {"set_of": groups})).masses
    assert together is not None
    one_by_one = [head_log_probs(**(given | {"set_of": group})).masses for group in groups.T]
    pull = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(together, torch.stack(one_by_one, dim=1))
    leaves = [given[name] for name in ("hidden", "weight", "bias")]
    found = torch.autograd.grad((together * pull).sum(), leaves)
    apart = torch.autograd.grad((torch.stack(one_by_one, dim=1) * pull).sum(), leaves)
    for one, other in zip(found, apart, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("fast", [True, False])
def test_single_precision_is_the_same_by_either_library(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fast and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has one library only")
    monkeypatch.setattr(headproducts, "faster", lambda: fast)
    monkeypatch.setattr(headproducts, "TILE", {"cpu": (40 * 64, 40, 64)})
    given = inputs(positions=90, vocab=333, dim=24, dtype=torch.float32)
    exact = inputs(positions=90, vocab=333, dim=24)
    found, expected = head_log_probs(**given), plain(**exact)
    assert found.masses is not None
    assert expected.masses is not None
    torch.testing.assert_close(found.labels.double(), expected.labels, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.masses.double(), expected.masses, atol=1e-5, rtol=1e-5)
    (found.labels.sum() + found.masses.sum()).backward()
    (expected.labels.sum() + expected.masses.sum()).backward()
    for name in ("hidden", "weight", "bias"):
        torch.testing.assert_close(
            given[name].grad.double(), exact[name].grad, atol=1e-4, rtol=1e-4
        )


def test_half_precision_is_summed_in_single() -> None:
    """Nothing but the inputs' own rounding is lost, and gradients have the inputs' type."""
    given = inputs(positions=9, vocab=200, dim=32, dtype=torch.bfloat16)
    exact = {
        name: value.detach().double().requires_grad_() if name in ("hidden", "weight", "bias")
        else value for name, value in given.items()
    }  # fmt: skip
    found, expected = head_log_probs(**given), plain(**exact)
    assert found.labels.dtype == torch.float32
    torch.testing.assert_close(found.labels.double(), expected.labels, atol=1e-4, rtol=1e-4)
    found.labels.sum().backward()
    expected.labels.sum().backward()
    for name in ("hidden", "weight", "bias"):
        assert given[name].grad.dtype == torch.bfloat16
        torch.testing.assert_close(
            given[name].grad.double(), exact[name].grad, atol=1e-3, rtol=2**-8
        )


def test_blocks_of_half_precision_add_up_in_single(monkeypatch: pytest.MonkeyPatch) -> None:
    """512 equal gradients of a row, one block each: bfloat16 sums stop growing at 256 of them."""
    monkeypatch.setattr(headproducts, "TILE", {"cpu": (16, 1, 16)})
    hidden = torch.ones(512, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    found = head_log_probs(hidden, weight, None, torch.zeros(512, dtype=torch.int64))
    found.labels.sum().backward()
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == [256.0, -256.0]


def test_autocast_does_not_round_the_logits() -> None:
    """Neither forward nor backward, which may run inside it or not."""
    given, plainly = (inputs(40, 70, 20, torch.float32) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = head_log_probs(**given).labels
        found.sum().backward()
    expected = head_log_probs(**plainly).labels
    expected.sum().backward()
    assert torch.equal(found, expected)
    assert torch.equal(given["weight"].grad, plainly["weight"].grad)


def test_strided_inputs_are_multiplied_as_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of strided views one of the two libraries makes hundreds of times the work."""
    real = headproducts.product

    def dense(left: Tensor, right: Tensor, wide: torch.dtype) -> Tensor:
        assert all(one.is_contiguous() or one.T.is_contiguous() for one in (left, right))
        return real(left, right, wide)

    monkeypatch.setattr("tokxfer.distillation.headtiles.product", dense)
    given = inputs(9, 40, 12)
    strided = given | {"hidden": given["hidden"][:, ::2], "weight": given["weight"][:, ::2]}
    found = head_log_probs(**strided).labels
    torch.testing.assert_close(found, plain(**strided).labels)
    found.sum().backward()


@pytest.mark.parametrize("wanted", ["hidden", "weight", "bias"])
def test_a_gradient_alone_is_the_same(wanted: str) -> None:
    given, alone = inputs(), inputs()
    for name in {"hidden", "weight", "bias"} - {wanted}:
        alone[name].requires_grad_(False)
    for each in (given, alone):
        head_log_probs(**each).labels.sum().backward()
    assert torch.equal(given[wanted].grad, alone[wanted].grad)
    assert all(alone[name].grad is None for name in {"hidden", "weight", "bias"} - {wanted})


def test_frozen_weights_cost_no_product_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    real = headproducts.product

    def counted(left: Tensor, right: Tensor, wide: torch.dtype) -> Tensor:
        shapes.append((len(left), len(right)))
        return real(left, right, wide)

    monkeypatch.setattr("tokxfer.distillation.headtiles.product", counted)
    given = inputs()
    head_log_probs(**given).labels.sum().backward()
    assert shapes == [(7, 45), (7, 45), (7, 5), (5, 45)]  # logits twice, then two gradients
    shapes.clear()
    given["weight"].requires_grad_(False)
    head_log_probs(**given).labels.sum().backward()
    assert shapes == [(7, 45), (7, 45), (7, 5)]


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    given = inputs()
    with torch.no_grad():
        assert head_log_probs(**given).labels.grad_fn is None
    for name in ("hidden", "weight", "bias"):
        given[name].requires_grad_(False)
    assert head_log_probs(**given).labels.grad_fn is None


def test_what_is_kept_does_not_grow_with_the_vocabulary() -> None:
    kept: list[Tensor] = []
    given = inputs(positions=6, vocab=500)
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda x: x):
        head_log_probs(**given)
    passed = {given[name].data_ptr() for name in ("hidden", "weight", "bias", "labels")}
    assert sum(one.numel() for one in kept if one.data_ptr() not in passed) <= 6 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_set_without_mass_ends_at_the_floor_and_pulls_nothing(dtype: torch.dtype) -> None:
    """An empty set, and one whose share is e^-200: no infinity, and no gradient that is none."""
    hidden = torch.tensor([[1.0], [1.0]], dtype=dtype, requires_grad=True)
    weight = torch.tensor([[200.0], [0.0], [199.0]], dtype=dtype, requires_grad=True)
    sets = Sets(torch.tensor([[False, False, False], [False, True, False]]))
    labels = torch.tensor([2, 2])
    found = head_log_probs(hidden, weight, None, labels, sets=sets, set_of=torch.tensor([0, 1]))
    assert found.masses is not None
    assert found.masses.tolist() == [FLOOR, FLOOR]
    found.masses.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.abs().sum() == 0


def test_a_full_set_has_all_mass() -> None:
    given = inputs() | {"sets": Sets(torch.ones(1, 45, dtype=torch.bool)), "bias": None}
    found = head_log_probs(**(given | {"set_of": torch.zeros(7, dtype=torch.int64)}))
    assert found.masses is not None
    torch.testing.assert_close(found.masses, torch.zeros(7, dtype=torch.float64))


def test_large_logits_do_not_overflow() -> None:
    hidden = torch.tensor([[300.0], [-300.0]])
    weight = torch.tensor([[1.0], [-1.0], [0.999]])
    found = head_log_probs(hidden, weight, None, torch.tensor([2, 0])).labels
    assert found.tolist() == pytest.approx([-0.3 - 0.554355, -600.0], abs=1e-3)


def test_no_positions_are_no_figures_and_no_gradient() -> None:
    given = inputs()
    for name in ("hidden", "labels", "set_of"):
        given[name] = given[name][:0]
    found = head_log_probs(**given)
    assert found.masses is not None
    assert found.labels.shape == found.masses.shape == (0,)
    found.labels.sum().backward()
    assert given["weight"].grad.abs().sum() == 0


def test_logits_of_one_tile_at_most_are_there_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = headproducts.product

    def seen(left: Tensor, right: Tensor, wide: torch.dtype) -> Tensor:
        found = real(left, right, wide)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr("tokxfer.distillation.headtiles.product", seen)
    for positions in (3000, 6000):
        hidden = torch.zeros(positions, 2, requires_grad=True)
        weight = torch.zeros(4000, 2, requires_grad=True)
        head_log_probs(
            hidden, weight, None, torch.zeros(positions, dtype=torch.int64)
        ).labels.sum().backward()
    assert max(sizes) <= headproducts.TILE["cpu"][0]


def test_the_gradient_of_a_head_read_at_few_positions_is_not_there_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest: list[int] = []
    real = headproducts.product

    def seen(left: Tensor, right: Tensor, wide: torch.dtype) -> Tensor:
        longest.append(len(right))
        return real(left, right, wide)

    monkeypatch.setattr("tokxfer.distillation.headtiles.product", seen)
    hidden, weight = torch.randn(2, 3), torch.randn(50_000, 3, requires_grad=True)
    found = head_log_probs(hidden, weight, None, torch.tensor([7, 49_999])).labels
    found.sum().backward()
    assert max(longest) <= headproducts.TILE["cpu"][2]
    again = weight.detach().clone().requires_grad_()
    plain_labels = (hidden @ again.T).log_softmax(1)[[0, 1], [7, 49_999]]
    plain_labels.sum().backward()
    torch.testing.assert_close(found, plain_labels)
    torch.testing.assert_close(weight.grad, again.grad)


def test_rows_of_the_head_beyond_all_ids_are_in_no_set() -> None:
    class Short:
        def members(self, which: torch.Tensor, start: int, stop: int) -> torch.Tensor:
            return torch.ones(len(which), max(0, min(stop, 5) - start), dtype=torch.bool)

    hidden, weight = torch.randn(3, 4), torch.randn(8, 4)
    nowhere, first = torch.full((3,), -1), torch.zeros(3, dtype=torch.long)
    found = head_log_probs(hidden, weight, None, nowhere, sets=Short(), set_of=first).masses
    whole = torch.log_softmax(hidden @ weight.T, 1)[:, :5].logsumexp(1)
    assert found is not None
    assert torch.allclose(found, whole, atol=1e-6)
