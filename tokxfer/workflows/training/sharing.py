"""One body for teacher and student: a transplant that is taught by what it was made of."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from tokxfer.checkpoints import ModelFolder
from tokxfer.checkpoints.skeletons import load_config
from tokxfer.workflows.matrices import Matrices
from tokxfer.workflows.training.member import Member, member_of
from tokxfer.workflows.transplant import read_matrices

HALF = (torch.float16, torch.bfloat16)


class Former:
    """A model as it was before a transplant, on the body of what came of it.

    While it answers, the body has its old embedding matrices and none of its adapters; at all other
    times it is the student's. Its own weights must be what they were: only adapters are trained, or
    a copy is. It is asked without gradients.

    Args:
        core: The transplanted model.
        matrices: The old embedding matrices.
        config: The old config.
        dtype: Number format to compute in, where it is a half one; the body keeps its own.

    Attributes:
        adapted: What holds the body's adapters, once it has some.
    """

    training = False

    def __init__(
        self, core: Any, matrices: Matrices, config: Any, dtype: torch.dtype | None = None
    ) -> None:
        self._core, self.config, self._half = core, config, dtype if dtype in HALF else None
        self.dtype = self._half or core.dtype
        self.adapted: Any = None
        embedding, head = core.get_input_embeddings(), core.get_output_embeddings()
        self._places = [place_of(core, module) for module in (embedding, head)]
        there = matrices.input.to(core.device, core.dtype)
        output = there if matrices.output is None else matrices.output.to(core.device, core.dtype)
        bias = None if matrices.bias is None else matrices.bias.to(core.device, core.dtype)
        self._embedding = with_weights(embedding, there)
        self._head = with_weights(head, output, bias)
        self.forward = functools.wraps(core.forward)(lambda **told: self(**told))  # same signature

    @torch.no_grad()
    def __call__(self, **told: Any) -> Any:
        """Answer as the old model."""
        with self._as_before():
            return self._core(**told)

    def __getattr__(self, name: str) -> Any:
        """What teacher and student have in common."""
        if name == "_core":
            raise AttributeError(name)
        return getattr(self._core, name)

    def get_input_embeddings(self) -> Any:
        """The old embedding."""
        return self._embedding

    def get_output_embeddings(self) -> Any:
        """The old head."""
        return self._head

    def eval(self) -> Former:
        """It is never in another mode."""
        return self

    def train(self, mode: bool = True) -> Former:  # noqa: ARG002
        """It is not trained."""
        return self

    def requires_grad_(self, requires: bool = True) -> Former:  # noqa: ARG002
        """Its gradients are never wanted, and the student's are not its own to stop."""
        return self

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """Let the body be the old model's."""
        core = self._core
        mode = core.training
        with ExitStack() as undo:
            undo.callback(core.train, mode)
            core.eval()
            if self.adapted is not None:
                undo.enter_context(self.adapted.disable_adapter())
            olds = (self._embedding, self._head)
            for (parent, name), old in zip(self._places, olds, strict=True):
                undo.callback(setattr, parent, name, getattr(parent, name))
                setattr(parent, name, old)
            if self._half is not None:
                undo.enter_context(torch.autocast(core.device.type, dtype=self._half))
            yield


def place_of(core: torch.nn.Module, module: torch.nn.Module) -> tuple[torch.nn.Module, str]:
    """The part of a model that has a module as its own, and by which name."""
    return next(
        (parent, name)
        for parent in core.modules()
        for name, child in parent.named_children()
        if child is module
    )


def with_weights(
    module: torch.nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> Any:
    """A module like another, scale included, that has other weights."""
    made: Any = copy.copy(module)
    made._parameters = {  # all else is shared
        **module._parameters,
        "weight": torch.nn.Parameter(weight, requires_grad=False),
    }
    if "bias" in module._parameters:
        made._parameters["bias"] = (
            None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
        )
    if isinstance(module, torch.nn.Embedding):
        made.num_embeddings, made.padding_idx = len(weight), None
    else:
        made.out_features = len(weight)
    return made


def former_member(folder: ModelFolder, student: Member, dtype: torch.dtype | None) -> Member:
    """A base as the teacher of its own transplant, of which it takes the body.

    Args:
        folder: The base's.
        student: The transplant, loaded; its body must be the base's.
        dtype: Number format to compute in; None for the base's own.
    """
    config = load_config(folder.path, trust_remote_code=folder.trust_remote_code)
    former = Former(student.model, read_matrices(folder), config, dtype or folder.dtype)
    return member_of(folder, former)
