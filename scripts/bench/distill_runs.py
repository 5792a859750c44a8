"""The single trainings of `distill.py` and `recovery.py`: one student, trained, judged, kept.

A measurement is kept in a file named after what went into it: models, text, objective, schedule,
threads and the kind of processor. It also holds a hash of the sources of its loss, so that the
tables can say how many were made by others than those there are now; delete it to measure it anew.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from distill_judge import alone, beside
from distill_pairs import Pair
from gap_runs import closure, place
from gap_text import Text
from transplant_runs import digest, kept

from tokxfer.checkpoints import ModelFolder, longest_window
from tokxfer.workflows.training.loop import train
from tokxfer.workflows.training.member import Member, load_member
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.registry import build_objective
from tokxfer.workflows.training.schedule import RATE, Schedule

Figures = dict[str, Any]
LOSSES = ("tokxfer.distillation", "tokxfer.workflows.training.objectives")  # their sources
SHORT = 200  # characters that the loop itself judges by, which costs next to nothing


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        objective: What is learned, by name.
        seed: Of the order of the data.
        rate: Learning rate, as a multiple of the default one.
        steps: Updates of the weights; 0 for the student as it comes.
    """

    objective: str
    seed: int
    rate: float
    steps: int


@dataclass
class Study:
    """One pair on one text.

    Args:
        pair: Teacher and student.
        text: What to train on and to judge by.
        cache: Folder of measurements.
        batch: Rows of a step.
        length: Tokens of a row, of a subword model's; four times as many bytes.
        only_kept: Whether to measure nothing, and to know only what has been kept.
    """

    pair: Pair
    text: Text
    cache: Path
    batch: int
    length: int
    only_kept: bool = False

    def before(self) -> Figures | None:
        """Teacher and student as they come, on the documents to judge by."""

        def measure() -> Figures:
            student = load(self.student)
            teacher = {"teacher": alone(self.teacher, self.text.judged)}
            return self._judged(student) | teacher

        return self._kept("before", [], measure)

    def run(self, run: Run) -> Figures | None:
        """What a training makes of the student, and what it takes; None where that is unknown.

        Raises:
            TokxferError: It failed, such as by a loss that is no number.
        """
        schedule = self.schedule(run)
        words = f"{run.objective.replace(':', '-')}--{run.steps}--x{run.rate:g}--{run.seed}"
        key = [objective_of(run.objective).to_dict(), asdict(schedule)]
        return self._kept(words, key, lambda: self._train(run, schedule))

    def schedule(self, run: Run) -> Schedule:
        """How a student is trained: rows as long as asked for, or as long as it can read."""
        length, batch = self.length * self.pair.times, self.batch
        config = load_config(self.student)
        longest = longest_window(config)
        if longest is not None and length > longest:
            batch, length = batch * length // longest, longest
        return Schedule(
            steps=run.steps,
            rate=run.rate * RATE / config.get_text_config().hidden_size,
            batch_size=batch,
            max_length=length,
            save_every=run.steps,
            seed=run.seed,
        )

    @cached_property
    def student(self) -> Path:
        """The folder of the student as it comes."""
        return self.pair.student(self.cache / "students")

    @cached_property
    def teacher(self) -> Member:
        return load(self.pair.teacher)

    @cached_property
    def documents(self) -> tuple[list[str], list[str]]:
        """Documents to train on, and others to choose the learning rate by."""
        return self.text.draw(0)

    def _kept(self, name: str, key: list[object], measure: Callable[[], Figures]) -> Figures | None:
        words = f"{self.pair.words}--{name}"
        key = [*self.pair.key(), self.text.hash, self.text.files, *key, *place()]
        if self.only_kept and not (self.cache / f"{words}--{digest(key)[:12]}.json").exists():
            return None
        return kept(self.cache, words, key, measure)

    def _judged(self, student: Member) -> Figures:
        texts = self.text.judged
        return alone(student, texts) | beside(self.teacher, student, texts)

    def _train(self, run: Run, schedule: Schedule) -> Figures:
        student = load(self.student)
        examples, develop = self.documents
        objective = objective_of(run.objective)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="work-") as work:
            cpu, wall = time.process_time(), time.perf_counter()
            trained = train(
                self.teacher, student, examples, [develop[0][:SHORT]], objective, schedule,
                Path(work),
            )  # fmt: skip
            cost = {
                "cpu_seconds": time.process_time() - cpu,
                "wall_seconds": time.perf_counter() - wall,
            }
        figures = {"develop": alone(student, develop)["bits_per_byte"], "data": trained.figures}
        loss = [[point["step"], point["loss"]] for point in trained.curve if "loss" in point]
        more = {"losses": loss, "schedule": asdict(schedule)}
        more["sources"] = sources(run.objective)
        return self._judged(student) | figures | cost | more


def sources(objective: str) -> str:
    """The SHA-256 of the sources of an objective's loss."""
    return closure((type(objective_of(objective)).__module__,), LOSSES)


def objective_of(name: str) -> Objective:
    """An objective by its name and its own options, as in "byte-kl:share=0.125,kind=jsd"."""
    plain, _, told = name.partition(":")
    options = dict(part.split("=") for part in told.split(",") if part)
    return build_objective(plain, **{option: value(word) for option, word in options.items()})


def value(word: str) -> Any:
    """A number or a truth value, as JSON has them, or else the word itself."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def load(folder: Path) -> Member:
    """A model in single precision."""
    return load_member(ModelFolder.open(folder), torch.float32, torch.device("cpu"))


def load_config(folder: Path) -> Any:
    """A model's configuration."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
