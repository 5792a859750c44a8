"""Training a loaded student on what a loaded teacher says."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.alignment.pairing import Aligner
from tokxfer.checkpoints import longest_window, quiet_transformers
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.corpus import tokenizer_hash
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.training.account import Judged
from tokxfer.workflows.training.balancing import build_balance
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.callbacks import Bar, curve
from tokxfer.workflows.training.chats import renderer
from tokxfer.workflows.training.examples import Example
from tokxfer.workflows.training.gap import likelihood_gap
from tokxfer.workflows.training.member import Member
from tokxfer.workflows.training.newrows import train_new_rows
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.rows import Collator, Lengths, Rows, rows_of
from tokxfer.workflows.training.schedule import Schedule


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
        only: Rows of the embedding matrices, if nothing else is to be trained: see `new_ids`.
        report_to: What transformers reports to.
        progress: Show bars on stderr.

    Raises:
        TokxferError: The data hold nothing to train on, or a loss is no number.
        UnsupportedError: A model whose head is not one matrix.
    """
    from transformers import PrinterCallback

    from tokxfer.workflows.training.trainer import DistillationTrainer

    learner, asked = Body.of(student.model), asked_body(teacher)
    bodies = [learner] if asked is None else [asked, learner]
    for body in bodies:
        body.check()
    device = student.model.device
    aligner = Aligner(teacher.vocabulary, student.vocabulary)
    lengths = lengths_of(asked, learner, schedule.max_length)
    packing = packing and all(body.packs for body in bodies)
    if teacher.cache is not None:
        objective.refuse_cache(teacher.cache, tokenizer_hash(student.vocabulary))
    objective.begin(teacher, student)
    rows = rows_of(
        examples, aligner, lengths,
        packing=packing and objective.packs, wanted=schedule.rows, seed=schedule.seed,
        render=renderer(teacher, student, examples), cache=teacher.cache, progress=progress,
    )  # fmt: skip
    collator = Collator(teacher.pad, student.pad)
    held_out = None if asked is None else held_out_rows(judged, aligner, lengths)

    def judge(model: Any) -> Judged:
        found = evaluate_model(model, student.vocabulary, judged, name=student.name)
        if asked is None or held_out is None:
            return Judged(found)
        return Judged(found, likelihood_gap(asked, Body.of(model), held_out, collator))

    taught = (
        None
        if asked is None
        else Judged(evaluate_model(asked.core, teacher.vocabulary, judged, name=teacher.name))
    )
    before = judge(student.model)
    started = time.perf_counter()
    model = with_adapters(student.model, lora)
    if only is not None:
        train_new_rows(model, only, schedule.weight_decay)
    width = student.model.config.get_text_config().hidden_size
    trainer = DistillationTrainer(
        model=model,
        args=schedule.arguments(folder, width, device, report_to),
        train_dataset=rows,
        eval_dataset=rows,  # what is judged is text, by `judge`
        data_collator=collator,
        callbacks=[Bar(progress), *stopping(schedule)],
        objective=objective,
        teacher=asked if objective.taught else None,
        balance=build_balance(balance, objective),
        judge=lambda model: {"bits_per_byte": judge(model).evaluation.bits_per_byte},
    )
    trainer.remove_callback(PrinterCallback)  # it prints on stdout
    with quiet_transformers():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    seconds = time.perf_counter() - started
    model = model.merge_and_unload() if lora else model
    return Trained(
        model=model.eval(),
        before=before,
        after=judge(model),
        teacher=taught,
        steps=trainer.state.global_step,
        seconds=seconds,
        curve=curve(trainer.state.log_history),
        figures=rows.figures | {"packed": int(packing)},
    )


def asked_body(teacher: Member) -> Body | None:
    """The teacher's model, which is not trained; None where there is what it said."""
    if teacher.model is None:
        return None
    return Body.of(teacher.model.eval().requires_grad_(False))


def lengths_of(teacher: Body | None, student: Body, max_length: int) -> Lengths:
    """Tokens of rows: as many as asked for of the student's, and what the teacher can take.

    Raises:
        UsageError: The student does not take as many.
    """
    longest = longest_window(student.core.config)
    if longest is not None and max_length > longest:
        raise UsageError(
            f"Rows of {max_length:,} tokens are longer than the {longest:,} that the student was "
            "made for.",
            f"Give --max-length {longest} or less.",
        )
    if teacher is None:
        return Lengths(sys.maxsize, max_length)
    return Lengths(longest_window(teacher.core.config) or 4 * max_length, max_length)


def held_out_rows(judged: Sequence[str], aligner: Aligner, lengths: Lengths) -> Rows | None:
    """Rows of the texts to judge by; None where no chunk of them fits."""
    try:
        return rows_of(judged, aligner, lengths)
    except TokxferError:
        return None


def with_adapters(model: Any, rank: int | None) -> Any:
    """The model with low-rank adapters on all its linear layers but the head, or as it is."""
    if rank is None:
        return model
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with quiet_transformers():  # peft asks transformers by names that it will drop
        return get_peft_model(model, adapters)


def stopping(schedule: Schedule) -> list[Any]:
    """What ends a training early, where it is asked for."""
    if schedule.patience is None:
        return []
    from transformers import EarlyStoppingCallback

    return [EarlyStoppingCallback(early_stopping_patience=schedule.patience)]
