"""Texts and chats as two models read them, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokxfer.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Side:
    """A text as one of two models reads it.

    Attributes:
        ids: [tokens] ids, special tokens at its ends included.
        chunk: [tokens] chunk of each token, −1 in none.
        trained: [tokens] whether the token is a target; never the first one.
        begin: The id with which the model's texts begin; None without one.
        said: [tokens, 2] log-probability of each token, and log-mass of a boundary behind it, where
            the model was asked before; else None.
    """

    ids: Int[np.ndarray, " tokens"]
    chunk: Int[np.ndarray, " tokens"]
    trained: Bool[np.ndarray, " tokens"]
    begin: int | None
    said: Float[np.ndarray, "tokens 2"] | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """A text, or a window of one, as teacher and student read it.

    Attributes:
        teacher: The teacher's side.
        student: The student's side.
        sizes: [chunks] bytes of text in each chunk; 0 for a special token that both have.
        last: [chunks] code point of the character that ends where the chunk ends; −1 where none
            does, or the chunk is a special token.
        text: The text in UTF-8; of a chat, what all of its chunks stand for.
        begins: Whether the text begins here.
        number: Which of the texts that were given it is, or is of.
    """

    teacher: Side
    student: Side
    sizes: Int[np.ndarray, " chunks"]
    last: Int[np.ndarray, " chunks"]
    text: bytes
    begins: bool
    number: int


@dataclass(frozen=True)
class Rendered:
    """A chat as one model's template writes it.

    Attributes:
        text: What the template writes, begin token and all.
        contents: Where in it what each message says begins, and ends, in characters, in order.
    """

    text: str
    contents: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RenderedChat:
    """A chat as both models' templates write it.

    Attributes:
        teacher: The teacher's template's.
        student: The student's template's.
        trained: Of each message, whether the student is to learn to write it.
    """

    teacher: Rendered
    student: Rendered
    trained: tuple[bool, ...]

    def __post_init__(self) -> None:
        counts = {len(self.teacher.contents), len(self.student.contents), len(self.trained)}
        if len(counts) > 1:
            raise ValueError("Both sides of a chat have the same messages, each trained or not.")
