"""How `distill.py` judges a student: bits per byte of text, and how near to its teacher it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokxfer.alignment.pairing import Aligner
from tokxfer.checkpoints import longest_window
from tokxfer.distillation.positions import first_tokens
from tokxfer.vocabulary import ByteVocabulary, Kind
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.gap import ROWS, likelihood_gap
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.objectives.asking import rows_before
from tokxfer.workflows.training.rows import Collator, Lengths, Rows, rows_of

Figures = dict[str, Any]
NO_BYTE = 256  # what a token stands for that is no text


def alone(member: Member, texts: Sequence[str]) -> Figures:
    """A model on texts: bits per byte, and the costs of each."""
    found = evaluate_model(member.model, member.vocabulary, texts)
    return {"bits_per_byte": found.bits_per_byte, "nats": found.nats.tolist()}


def beside(teacher: Member, student: Member, texts: Sequence[str]) -> Figures:
    """A student beside its teacher, at the boundaries that their tokens share.

    Returns:
        `gap`, the mean difference of chunks' log-probabilities without sign, in bits per byte;
        `agreement`, the share of boundaries behind which both call the same byte the likeliest.
    """
    bodies = [Body.of(one.model.eval()) for one in (teacher, student)]
    lengths = Lengths(*(longest_window(body.core.config) or 512 for body in bodies))
    rows = rows_of(texts, Aligner(teacher.vocabulary, student.vocabulary), lengths)
    collate = Collator(teacher.pad, student.pad)
    bytes_ = [first_bytes(one) for one in (teacher, student)]
    return {
        "gap": likelihood_gap(bodies[0], bodies[1], rows, collate),
        "agreement": agreement(bodies, rows, collate, bytes_),
    }


def first_bytes(member: Member) -> torch.Tensor:
    """A table [rows of the head, 257] that adds up tokens by their first byte; the last is none."""
    vocabulary: ByteVocabulary = member.vocabulary
    text = ~np.isin(vocabulary.kinds, (Kind.SPECIAL, Kind.UNUSED))
    table = torch.zeros(len(member.model.get_output_embeddings().weight), NO_BYTE + 1)
    for number, token in enumerate(vocabulary.tokens):
        table[number, token[0] if text[number] and token else NO_BYTE] = 1
    return table


@torch.no_grad()
def agreement(
    bodies: Sequence[Body], rows: Rows, collate: Collator, bytes_: Sequence[torch.Tensor]
) -> float:
    """The share of shared boundaries behind which both models call the same byte the likeliest.

    A byte is as likely as all tokens together that begin with it.

    Args:
        bodies: Teacher and student.
        rows: Aligned rows.
        collate: Makes batches of them.
        bytes_: For each model, which of its tokens begin with which byte: see `first_bytes`.
    """
    same = count = 0
    for start in range(0, len(rows), ROWS):
        batch = collate([rows[at] for at in range(start, min(start + ROWS, len(rows)))])
        likeliest = []
        for body, side, table in zip(bodies, ("teacher", "student"), bytes_, strict=True):
            told = batch[side]
            places = first_tokens(told["chunk"], batch["counts"], told["final"].shape[1])
            hidden = body.hidden(told["ids"], told["document"])
            laws = rows_before(body, hidden, places).logits().softmax(-1)
            likeliest.append((laws @ table).argmax(-1))
        same += int((likeliest[0] == likeliest[1]).sum())
        count += len(likeliest[0])
    return same / count
