"""Training a loaded student on what a loaded teacher says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.alignment.pairing import Aligner
from tokxfer.checkpoints import quiet_transformers
from tokxfer.errors import TokxferError
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.training.account import Judged
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.callbacks import curve
from tokxfer.workflows.training.examples import Example
from tokxfer.workflows.training.gap import likelihood_gap
from tokxfer.workflows.training.lesson import Lesson, take_steps
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.newrows import free_rows, train_new_rows
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.rows import Lengths, Rows, rows_of
from tokxfer.workflows.training.schedule import Schedule
from tokxfer.workflows.training.sharing import Former


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training made of a student.

    Attributes:
        model: The student, adapters merged.
        before, after: It on the held-out text.
        teacher: The teacher there; None where there is none.
        steps: Updates of its weights.
        seconds: Wall time of the training, evaluations included.
        curve: Losses by step, and what evaluations found.
        figures: Of the data.
    """

    model: Any
    before: Judged
    after: Judged
    teacher: Judged | None
    steps: int
    seconds: float
    curve: list[dict[str, float]]
    figures: dict[str, int]


def train(
    teacher: Member,
    student: Member,
    examples: Sequence[Example],
    judged: Sequence[str],
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    *,
    checkpoint: Path | None = None,
    packing: bool = True,
    balance: str = "auto",
    lora: int | None = None,
    only: Mapping[str, list[int]] | None = None,
    report_to: str = "none",
    progress: bool = False,
) -> Trained:
    """Train a student, in place.

    Args:
        teacher: Who is asked.
        student: Who learns.
        examples: What it is trained on.
        judged: Texts to judge by.
        objective: The losses.
        schedule: Steps, rate, batches.
        folder: For checkpoints.
        checkpoint: The one to go on from, or None.
        packing: Whether several documents may share a row.
        balance: How several losses are weighed.
        lora: Rank of adapters, or None to train the weights.
        only: Rows of the embedding matrices, if nothing else is to be trained but adapters: see
            `new_ids`.
        report_to: What transformers reports to.
        progress: Show bars on stderr.

    Raises:
        TokxferError: The data hold nothing to train on, or a loss is no number.
        UnsupportedError: A model whose head is not one matrix.
    """
    lesson = Lesson.of(
        teacher, student, examples, objective, schedule, packing=packing, progress=progress
    )
    asked = lesson.asked
    held_out = None if asked is None else held_out_rows(judged, lesson.aligner, lesson.lengths)

    def judge(model: Any) -> Judged:
        found = evaluate_model(model, student.vocabulary, judged, name=student.name)
        if asked is None or held_out is None:
            return Judged(found)
        return Judged(found, likelihood_gap(asked, Body.of(model), held_out, lesson.collator))

    taught = (
        None
        if asked is None
        else Judged(evaluate_model(asked.core, teacher.vocabulary, judged, name=teacher.name))
    )
    before = judge(student.model)
    started = time.perf_counter()
    model, new_rows = with_adapters(student.model, lora, schedule.seed), None
    if lora and isinstance(teacher.model, Former):
        teacher.model.adapted = model
    if only is not None and lora:
        new_rows = free_rows(model, only, schedule.weight_decay)
    elif only is not None:
        train_new_rows(model, only, schedule.weight_decay)
    state = take_steps(
        lesson, model, objective, schedule, folder,
        checkpoint=checkpoint, balance=balance, new_rows=new_rows, report_to=report_to,
        judge=lambda model: {"bits_per_byte": judge(model).evaluation.bits_per_byte},
        progress=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    model.eval()
    after = judge(model.get_base_model() if lora else model)  # a shared body is still the teacher's
    model = model.merge_and_unload() if lora else model
    return Trained(
        model=model.eval(),
        before=before,
        after=after,
        teacher=taught,
        steps=state.global_step,
        seconds=seconds,
        curve=curve(state.log_history),
        figures=lesson.rows.figures | {"packed": int(lesson.packing)},
    )


def held_out_rows(judged: Sequence[str], aligner: Aligner, lengths: Lengths) -> Rows | None:
    """Rows of the texts to judge by; None where no chunk of them fits."""
    try:
        return rows_of(judged, aligner, lengths)
    except TokxferError:
        return None


def with_adapters(model: Any, rank: int | None, seed: int = 0) -> Any:
    """The model with low-rank adapters on all its linear layers but the head, or as it is.

    Args:
        model: A transformers causal language model, changed in place.
        rank: Of the adapters; None for none.
        seed: Of what they begin with.
    """
    if rank is None:
        return model
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    adapters = LoraConfig(
        r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    set_seed(seed)
    with quiet_transformers():  # peft asks transformers by names that it will drop
        return get_peft_model(model, adapters)
