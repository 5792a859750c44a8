"""What a step of distillation will hold in memory, before there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tokxfer.checkpoints import ModelFolder
from tokxfer.checkpoints.folder import text_config

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model", "dim")
INNER = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size")
# What a layer keeps of a token for its gradient, in hidden states and in inner ones: measured on a
# Llama of transformers; GPT-2 keeps about as much.
KEPT, KEPT_INNER = 12, 4
HELD, HELD_INNER = 4, 3  # and what one layer holds for a moment without gradients
MOMENTS = 2  # AdamW's
WIDE = 4  # bytes of a number of single precision


@dataclass(frozen=True)
class Shape:
    """A model's measures.

    Attributes:
        parameters: Numbers in all of its weights, tied ones once.
        bytes: Of its weights as they are stored.
        layers: How many.
        width: Of hidden states.
        inner: Of the layers' inner states.
        vocabulary: Rows of its head.
    """

    parameters: int
    bytes: int
    layers: int
    width: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, folder: ModelFolder) -> Shape | None:
        """A folder's, from its config and its weights' headers; None where these are silent."""
        config = text_config(folder.config)
        layers, width = first(config, LAYERS), first(config, WIDTHS)
        if layers is None or width is None:
            return None
        return cls(
            parameters=sum(count(info.shape) for info in folder.tensors.values()),
            bytes=folder.size,
            layers=layers,
            width=width,
            inner=first(config, INNER) or 4 * width,
            vocabulary=int(config.get("vocab_size", 0)),
        )


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a step holds at once, as an estimate.

    Attributes:
        rows: Rows of a micro-batch.
        tokens: Tokens of a row of the student's.
        teacher_weights: The teacher's.
        student_weights: The student's.
        gradients: One for each of the student's weights.
        optimizer: Two numbers for each of them, AdamW's.
        activations: Hidden states and what layers keep for gradients, and the mask of packed rows.
        total: All of these.
        logits: What [rows, tokens, vocabulary] of the student would take: it is not held, nor its
            gradient, nor the teacher's.
    """

    rows: int
    tokens: int
    teacher_weights: int
    student_weights: int
    gradients: int
    optimizer: int
    activations: int
    total: int
    logits: int

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain values."""
        return asdict(self)


def step_memory(
    teacher: Shape, student: Shape, *, rows: int, tokens: int, ratio: float, stored: bool
) -> StepMemory:
    """Estimate what a step of distillation holds.

    Args:
        teacher: The teacher's measures.
        student: The student's, trained in single precision.
        rows: Rows of a micro-batch.
        tokens: Tokens of a row of the student's.
        ratio: Tokens of the teacher's for one of the student's.
        stored: Whether the teacher keeps its own number format, as on a GPU, instead of single
            precision.
    """
    places = rows * tokens
    asked = round(places * ratio)
    kept = places * student.layers * (KEPT * student.width + KEPT_INNER * student.inner)
    held = asked * (HELD * teacher.width + HELD_INNER * teacher.inner)
    mask = rows * max(tokens, round(tokens * ratio)) ** 2
    own = WIDE * student.parameters
    parts = {
        "teacher_weights": teacher.bytes if stored else WIDE * teacher.parameters,
        "student_weights": own,
        "gradients": own,
        "optimizer": MOMENTS * own,
        "activations": WIDE * (kept + held + mask),
    }
    return StepMemory(
        rows=rows,
        tokens=tokens,
        **parts,
        total=sum(parts.values()),
        logits=WIDE * places * student.vocabulary,
    )


def first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """The first number that a config has under one of some keys."""
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)


def count(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor of some shape."""
    total = 1
    for size in shape:
        total *= size
    return total
