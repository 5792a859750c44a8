"""Losses of whole distributions, walked over in blocks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distillation.sides import side
from tokxfer.distillation.logitrows import Head, Rows, over_rows


def likeness(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """A loss that depends on everything it is given."""
    found = (student.softmax(-1)[:, :5] - teacher.softmax(-1)[:, :5]).square().sum(-1)
    return found * weights.exp() + student[:, -1] * weights.sin()


@pytest.mark.parametrize("rows", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("options", [{}, {"scale": 0.25, "softcap": 2.0}])
def test_blocks_make_what_all_rows_at_once_make(rows: int | None, options: dict[str, Any]) -> None:
    student, teacher = side(7, 9, 0, **options), side(7, 6, 1, scale=3.0)
    weights = torch.randn(7, dtype=torch.float64)
    leaves = [student.hidden, student.head.weight, student.head.bias, weights]
    for leaf in leaves:
        assert leaf is not None
        leaf.requires_grad_()
    plain = likeness(student.logits(), teacher.logits(), weights).sum()
    walked = over_rows(likeness, student, teacher, weights, rows=rows)
    torch.testing.assert_close(walked, plain)
    for mine, theirs in zip(
        torch.autograd.grad(walked * 3, leaves), torch.autograd.grad(plain * 3, leaves), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_the_gradient_of_a_head_is_not_there_twice() -> None:
    student = side(3, 9, 0)
    student.head.weight.requires_grad_()
    walked = over_rows(likeness, student, side(3, 6, 1), torch.zeros(3))
    assert walked.grad_fn is not None
    kept = {slope.data_ptr() for slope in walked.grad_fn.saved_tensors if slope is not None}
    (walked / 3).backward()
    assert student.head.weight.grad is not None
    assert student.head.weight.grad.data_ptr() in kept


def test_gradients_can_be_taken_twice_of_a_graph_that_is_kept() -> None:
    student = side(3, 9, 0)
    student.head.weight.requires_grad_()
    walked = over_rows(likeness, student, side(3, 6, 1), torch.zeros(3)) * 3
    (first,) = torch.autograd.grad(walked, student.head.weight, retain_graph=True)
    said = first.clone()
    (second,) = torch.autograd.grad(walked, student.head.weight)
    torch.testing.assert_close(second, said)
    torch.testing.assert_close(first, said)


def test_gradients_are_those_of_finite_differences() -> None:
    teacher = side(5, 6, 1)

    def walked(hidden: Tensor, weight: Tensor, bias: Tensor, weights: Tensor) -> Tensor:
        student = Rows(hidden, Head(weight, bias, 1.5, 3.0))
        return over_rows(likeness, student, teacher, weights, rows=2)

    given = side(5, 7, 0)
    inputs = (given.hidden, given.head.weight, given.head.bias, torch.randn(5).double())
    assert torch.autograd.gradcheck(walked, [each.requires_grad_() for each in inputs])


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = side(3, 9, 0), side(3, 6, 1)
    student.hidden.requires_grad_()
    teacher.hidden.requires_grad_()
    teacher.head.weight.requires_grad_()
    over_rows(likeness, student, teacher, torch.zeros(3)).backward()
    assert student.hidden.grad is not None
    assert teacher.hidden.grad is None
    assert teacher.head.weight.grad is None


def test_only_wanted_gradients_are_computed() -> None:
    student, teacher = side(3, 9, 0), side(3, 6, 1)
    student.head.weight.requires_grad_()
    over_rows(likeness, student, teacher, torch.zeros(3)).backward()
    assert student.head.weight.grad is not None
    assert student.hidden.grad is None
    assert not over_rows(likeness, teacher, teacher, torch.zeros(3)).requires_grad


def test_half_precision_is_computed_in_single_and_its_gradients_come_back_in_half() -> None:
    student, teacher = side(6, 9, 0, dtype=torch.bfloat16), side(6, 7, 1, dtype=torch.bfloat16)
    seen = []

    def loss(mine: Tensor, theirs: Tensor) -> Tensor:
        seen.extend([mine.dtype, theirs.dtype])
        return likeness(mine, theirs, torch.zeros(len(mine)))

    student.hidden.requires_grad_()
    student.head.weight.requires_grad_()
    found = over_rows(loss, student, teacher, rows=4)
    found.backward()
    assert set(seen) == {torch.float32}
    assert found.dtype == torch.float32
    assert student.hidden.grad is not None
    assert student.hidden.grad.dtype == torch.bfloat16
    wide = side(6, 9, 0, dtype=torch.bfloat16)
    wide = Rows(wide.hidden.float(), Head(wide.head.weight.float(), wide.head.bias))
    wide.head.weight.requires_grad_()
    over_rows(loss, wide, teacher).backward()
    assert student.head.weight.grad is not None
    assert wide.head.weight.grad is not None
    torch.testing.assert_close(  # to one rounding, not to one a block
        student.head.weight.grad, wide.head.weight.grad.bfloat16(), rtol=2**-7, atol=1e-6
    )


def test_products_of_half_precision_add_up_in_single(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device that multiplies half types: two stretches of the vocabulary, two blocks."""
    wide = (torch.bfloat16, torch.float32)
    monkeypatch.setattr("tokxfer.distillation.logitrows.operand_types", lambda *_: wide)
    monkeypatch.setattr("tokxfer.distillation.logitrows.STRETCH", 5)
    student, teacher = (side(6, 9, seed, dtype=torch.bfloat16) for seed in (0, 1))
    leaves = [student.hidden, student.head.weight, student.head.bias]
    for leaf in leaves:
        assert leaf is not None
        leaf.requires_grad_()
    along = torch.zeros(6)
    walked = over_rows(likeness, student, teacher, along, rows=4)
    plain = likeness(student.logits(), teacher.logits(), along).sum()
    torch.testing.assert_close(walked, plain, rtol=1e-3, atol=1e-3)
    for mine, theirs in zip(
        torch.autograd.grad(walked, leaves), torch.autograd.grad(plain, leaves), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=2**-6, atol=2**-6)


def test_no_rows_are_a_loss_of_zero() -> None:
    student, teacher = side(0, 9, 0), side(0, 6, 1)
    student.hidden.requires_grad_()
    found = over_rows(likeness, student, teacher, torch.zeros(0))
    found.backward()
    assert found == 0.0


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3, 2, 3\] rows"):
        over_rows(likeness, side(3, 9, 0), side(2, 6, 1), torch.zeros(3))


def test_no_tensor_of_all_positions_and_the_vocabulary_is_ever_made() -> None:
    """Shapes that the loss is given, and those of what it leaves behind."""
    student, teacher = side(64, 50, 0), side(64, 40, 1)
    student.hidden.requires_grad_()
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        found = over_rows(likeness, student, teacher, torch.zeros(64), rows=8)
        largest = max(kept)
    found.backward()
    assert largest <= 8 * 50


def test_tokens_are_predicted_by_the_place_before_them() -> None:
    hidden = torch.arange(24.0).view(2, 3, 4)
    rows = Rows.before(hidden, torch.tensor([2, 4]), side(1, 9, 0).head)
    assert torch.equal(rows.hidden, torch.stack([hidden[0, 1], hidden[1, 0]]))
