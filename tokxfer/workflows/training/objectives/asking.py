"""What objectives of whole distributions ask of a model: hidden states before some tokens."""

from __future__ import annotations

import torch

from tokxfer.distillation.logitrows import Head, Rows
from tokxfer.errors import UsageError, VocabularyError
from tokxfer.shapes import Int
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.member import Member


def head_of(body: Body) -> Head:
    """What makes a model's logits of its hidden states."""
    return Head(body.head.weight, body.head.bias, body.scale, body.softcap)


def rows_before(body: Body, hidden: torch.Tensor, tokens: Int[torch.Tensor, " rows"]) -> Rows:
    """What the head reads before some tokens, by flat index."""
    return Rows.before(hidden, tokens, head_of(body))


def need_one_vocabulary(teacher: Member, student: Member, name: str) -> None:
    """Refuse to compare distributions over different tokens one by one.

    Raises:
        UsageError: The two have different vocabularies.
    """
    if teacher.vocabulary != student.vocabulary:
        raise UsageError(
            f"{name} compares distributions over one vocabulary, and {teacher.name} and "
            f"{student.name} have different ones.",
            "Take alm, byte-kl, uld, mined or gold.",
        )


def need_shared_tokens(teacher: Member, student: Member, name: str) -> None:
    """Refuse to match the tokens of vocabularies that share none.

    Raises:
        VocabularyError: They share none.
    """
    if not teacher.vocabulary.by_bytes.keys() & student.vocabulary.by_bytes.keys():
        raise VocabularyError(
            f"{teacher.name} and {student.name} share no token, so {name} has nothing to match.",
            "Take alm or byte-kl, which compare text.",
        )
