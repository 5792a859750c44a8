"""Losses of whole distributions, some rows at a time: [positions, vocabulary] is never there.

Objectives that compare distributions, and not only the probabilities of the text, need all logits
of a position on both sides. They are computed for a block of positions, used and forgotten. What a
loss needs for its gradient is as large as the logits, so the gradients of hidden states and head
are taken in the forward pass, block by block; backward only multiplies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokxfer.distillation.headproducts import operand_types, product
from tokxfer.shapes import Float, Int

# Losses [rows] of the student's and the teacher's logits [rows, vocab], and of further tensors
# [rows, ...].
RowLoss = Callable[..., Tensor]

# Numbers of a block's logits, both sides together. A loss holds some ten tensors of this size.
NUMBERS = {"cpu": 2**22}
ELSEWHERE = 2**27
STRETCH = 2**14  # rows of the head whose gradient is computed at once, in half precision


@dataclass(frozen=True, eq=False)
class Head:
    """What makes logits of hidden states: softcap·tanh(scale·(hidden·weightᵀ + bias) / softcap).

    Attributes:
        weight: [vocab, dim].
        bias: [vocab] or None.
        scale: Factor of the logits.
        softcap: Their bound, or None for none.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def products(self, hidden: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows vocab"]:
        """What `shaped` makes logits of, in at least single precision."""
        narrow, wide = operand_types(hidden, self.weight)
        found = product(hidden.to(narrow), self.weight.to(narrow), wide)
        return found if self.bias is None else found + self.bias

    def shaped(self, products: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows vocab"]:
        """The logits."""
        found = products if self.scale == 1.0 else products * self.scale
        return found if self.softcap is None else (found / self.softcap).tanh() * self.softcap


@dataclass(frozen=True, eq=False)
class Rows:
    """Positions of a side: what its head reads there.

    Attributes:
        hidden: [rows, dim] hidden states.
        head: The model's head.
    """

    hidden: Tensor
    head: Head

    @classmethod
    def before(
        cls, hidden: Float[Tensor, "batch tokens dim"], tokens: Int[Tensor, " rows"], head: Head
    ) -> Rows:
        """The positions at which tokens are predicted.

        Args:
            hidden: What the head reads at every place.
            tokens: Flat index batch·tokens + token of each, never the first of a document.
            head: The model's head.
        """
        return cls(hidden.flatten(0, 1)[tokens.long() - 1], head)

    def logits(self, rows: slice = slice(None)) -> Tensor:
        """[rows, vocab] the logits of some rows."""
        return self.head.shaped(self.head.products(self.hidden[rows]))

    def __len__(self) -> int:
        return len(self.hidden)


def over_rows(
    loss: RowLoss, student: Rows, teacher: Rows, *along: Tensor, rows: int | None = None
) -> Float[Tensor, ""]:
    """Sum a loss over rows of both sides.

    Gradients reach the student's hidden states and head and the tensors along, each only where it
    is wanted, and never the teacher. They can be taken once, not differentiated again.

    Args:
        loss: Called with logits of the student [block, vocab], of the teacher, in at least single
            precision, and a block of each tensor along; returns the losses [block]. Logits are its
            own, but it is differentiated, so it must not write into them.
        student: The student's side.
        teacher: The teacher's, as many rows.
        along: Further tensors [rows, ...], such as log-probabilities.
        rows: Rows of a block, or None for what fits.

    Returns:
        The sum, in at least single precision.

    Raises:
        ValueError: The sides are not as long as each other.
    """
    sizes = [len(side.hidden) for side in (student, teacher)] + [len(each) for each in along]
    if len(set(sizes)) != 1:
        raise ValueError(f"sides of {sizes} rows cannot be compared")
    head = student.head
    found: Tensor = _Walk.apply(  # type: ignore[no-untyped-call]
        loss, head, teacher, rows, student.hidden, head.weight, head.bias, *along
    )
    return found


def _blocks(student: Rows, teacher: Rows, rows: int | None) -> Iterator[slice]:
    """The blocks of rows, each of about `NUMBERS` logits."""
    width = len(student.head.weight) + len(teacher.head.weight)
    fits = NUMBERS.get(student.hidden.device.type, ELSEWHERE) // width
    step = max(1, rows or fits)
    for start in range(0, len(student), step):
        yield slice(start, start + step)


class _Walk(torch.autograd.Function):
    """See `over_rows`."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: RowLoss,
        head: Head,
        teacher: Rows,
        rows: int | None,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *along: Tensor,
    ) -> Tensor:
        head = Head(weight, bias, head.scale, head.softcap)
        student = Rows(hidden, head)
        wants = ctx.needs_input_grad[4:]
        narrow, wide = operand_types(hidden, weight)
        slopes = [
            torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, wide))
            if wanted and tensor is not None
            else None
            for wanted, tensor in zip(wants, (hidden, weight, bias, *along), strict=True)
        ]
        total = hidden.new_zeros((), dtype=wide)
        for block in _blocks(student, teacher, rows):
            taught = teacher.logits(block)
            leaves = [head.products(hidden[block]), *(tensor[block].detach() for tensor in along)]
            for leaf, wanted in zip(leaves, (any(wants[:3]), *wants[3:]), strict=True):
                leaf.requires_grad_(wanted)
            with torch.enable_grad(), torch.autocast(hidden.device.type, enabled=False):
                summed = loss(head.shaped(leaves[0]), taught, *leaves[1:]).sum()
            total += summed.detach()
            _collect(slopes, summed, leaves, Rows(hidden[block].to(narrow), head), block)
        ctx.dtypes = [None if t is None else t.dtype for t in (hidden, weight, bias, *along)]
        ctx.save_for_backward(*slopes)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, along: Tensor) -> tuple[Tensor | None, ...]:
        # the head's gradient is as large as the head, and a copy as large again
        times = torch.mul if _comes_again() else torch.Tensor.mul_
        found = [
            None if slope is None else times(slope, along).to(dtype)
            for slope, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (None, None, None, None, *found)


def _comes_again() -> bool:
    """Whether backward may be gone through once more, as `retain_graph` says."""
    kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return kept is None or bool(kept())


def _collect(
    slopes: list[Tensor | None], summed: Tensor, leaves: list[Tensor], rows: Rows, block: slice
) -> None:
    """Add a block's gradients to those of hidden states, weight, bias and tensors along."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not wanted or not summed.requires_grad:
        return
    found = iter(torch.autograd.grad(summed, wanted, allow_unused=True))
    slope = next(found) if leaves[0].requires_grad else None
    for leaf, into in zip(leaves[1:], slopes[3:], strict=True):
        along = next(found) if leaf.requires_grad else None
        if into is not None and along is not None:
            into[block] = along
    if slope is None:
        return
    hidden, weight, bias = slopes[:3]
    if bias is not None:
        bias += slope.sum(0)
    narrow, wide = rows.hidden.dtype, slope.dtype
    slope = slope.to(narrow)
    if hidden is not None:
        hidden[block] = product(slope, rows.head.weight.to(narrow).T, wide)
    if weight is not None and narrow == weight.dtype:
        weight.addmm_(slope.T, rows.hidden)
    elif weight is not None:
        for start in range(0, len(weight), STRETCH):
            columns = slice(start, start + STRETCH)
            weight[columns] += product(slope[:, columns].T, rows.hidden.T, wide)
