"""Hidden states at the ends of chunks, where teacher and student have read the same text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokxfer.distillation.part import Part
from tokxfer.shapes import Bool, Float


def channel_squares(
    teacher: Float[Tensor, "batch chunks dim"], valid: Bool[Tensor, "batch chunks"]
) -> Part:
    """Squares of the teacher's channels [dim] over chunks; the mean over a step is `scale` below.

    Channels differ by orders of magnitude, and a mean of a micro-batch's own would make a step
    depend on how it is cut.
    """
    wide = teacher.detach().to(torch.promote_types(teacher.dtype, torch.float32))
    squares = wide.square().where(valid.unsqueeze(2), 0.0)
    return Part(squares.sum((0, 1)), valid.sum())


def hidden_states(
    teacher: Float[Tensor, "batch chunks dim"],
    student: Float[Tensor, "batch chunks width"],
    valid: Bool[Tensor, "batch chunks"],
    scale: Float[Tensor, " dim"],
    projector: nn.Module | None = None,
) -> Part:
    """Sum, over chunks, the mean over channels of squared error by the teacher's mean square.

    Args:
        teacher: What the teacher holds at the last token of each chunk.
        student: The same of the student; alone has a gradient, as has the projector.
        valid: Which places hold a chunk; the others are not looked at.
        scale: Mean square of each of the teacher's channels, see `channel_squares`; a channel
            that never holds anything counts like the mean of all.
        projector: Takes the student's width to the teacher's where they differ.
    """
    inside = valid.unsqueeze(2)
    dtype = torch.promote_types(student.dtype, torch.float32)
    ours = student.to(dtype).where(inside, 0.0)
    if projector is not None:
        ours = projector(ours)
    errors = ours - teacher.detach().to(dtype).where(inside, 0.0)
    scale = scale.to(dtype)
    scale = scale.where(scale > 0, scale.mean()).clamp(min=torch.finfo(dtype).tiny)
    parts = errors.square() / scale
    return Part(parts.mean(2).where(valid, 0.0).sum(), valid.sum())


class Projector(nn.Module):
    """A linear map from the student's width to the teacher's, which begins by keeping lengths.

    Args:
        student: Its width.
        teacher: Its width.
        seed: Of the map it begins with, whose rows or columns are orthonormal.
    """

    def __init__(self, student: int, teacher: int, seed: int = 0) -> None:
        super().__init__()
        drawn = torch.empty(teacher, student)
        nn.init.orthogonal_(drawn, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(drawn)

    def forward(self, states: Float[Tensor, "*places student"]) -> Float[Tensor, "*places teacher"]:
        """Take states to the teacher's width."""
        return nn.functional.linear(states, self.weight)
