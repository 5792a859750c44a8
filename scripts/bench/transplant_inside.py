"""Measurements of `transplant.py` that need no process of their own: the base is loaded once.

Rows come from the workbench of `tokxfer compare`; the same code evaluates them as everywhere. What
such a run costs is not told: its seconds and memory are not those of a command.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transplant_runs import (
    EVALUATION,
    PACKAGE,
    Bench,
    Figures,
    Pair,
    Run,
    digest,
    fingerprint,
    rows_hash,
    sources,
    told_of_rows,
)

from tokxfer.checkpoints import file_hash, load_model
from tokxfer.embeddings import Method, build_method
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.corpus import TextCorpus
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.helpers import without
from tokxfer.workflows.text import read_documents
from tokxfer.workflows.workbench import Pair as Models
from tokxfer.workflows.workbench import Workbench

ROOMS = ("vocabulary", "sparse", "embeddings", "checkpoints")
MAKING = (
    *("corpus.py", "encoder.py", "fitting.py", "matrices.py", "planning.py", "steady.py"),
    *("vectorstore.py", "workbench.py"),
)
NO_TEXT = "no training text: give --train-text FILE"


@dataclasses.dataclass(frozen=True)
class TrainText:
    """The text that methods are fitted on: the first documents of a file."""

    file: Path
    limit: int | None

    def open(self, scored: list[str]) -> TextCorpus:
        """Its documents, those that are scored left out."""
        documents = list(read_documents(self.file, self.limit))
        return without(TextCorpus(documents, [self.file.name]), scored)[0]


class Inside:
    """One pair, whose methods are tried one after the other; nothing is loaded before it must be.

    Args:
        bench: The text, the cache and the seed.
        pair: The two models.
        train: The text to fit on; None leaves out the methods that need one.
    """

    def __init__(self, bench: Bench, pair: Pair, train: TrainText | None) -> None:
        self.bench, self.pair, self.train = bench, pair, train

    def run(self, run: Run) -> Figures:
        """One method, kept like every measurement; a method that cannot run says why."""
        method = method_of(run)
        try:
            models = [fingerprint(self.pair.base), fingerprint(self.pair.donor)]
            what = [run.method, repr(method), self.bench.seed, self._fitted_on(method)]
            key = [*models, *self.bench.place(), "inside", sources_of_rows(), *what]
        except TokxferError as failure:
            return {"failed": one_line(failure), "left_out": True}
        names = (self.pair.base.name, self.pair.donor.name, "inside", run.method)
        name = "--".join(map(str, (*names, run.k or "default")))
        return self.bench.kept(name, key, lambda: self._measure(method))

    def _fitted_on(self, method: Method) -> list[object]:
        """What a method depends on beside the models.

        Raises:
            UsageError: It is not there.
        """
        found: list[object] = []
        if "encoder" in method.needs:
            found.append(self._encoder.fingerprint)
        if "text" in method.needs:
            found.append(self._corpus.fingerprint)
        return found

    @cached_property
    def _encoder(self) -> TextEncoder:
        return TextEncoder.open(device="cpu", offline=True)

    @cached_property
    def _corpus(self) -> TextCorpus:
        if self.train is None:
            raise UsageError(NO_TEXT)
        return self.train.open(self.bench.documents)

    @cached_property
    def _workbench(self) -> Workbench:
        every = [build_method("omp")]  # so that the donor's weights are read
        models = Models.open(self.pair.base, self.pair.donor, every, offline=True)
        model = load_model(self.pair.base, dtype=torch.float32)
        return Workbench(models, model, torch.device("cpu"), seed=self.bench.seed, budget=None)

    def _measure(self, method: Method) -> Figures:
        workbench = self._workbench
        encoder = self._encoder if "encoder" in method.needs else None
        corpus = self._corpus if "text" in method.needs else None
        try:
            made = workbench.make(method, encoder, corpus)
        except TokxferError as failure:
            return {"failed": one_line(failure)}
        names = (self.pair.base.name, self.pair.donor.name, "evaluation")
        models = [fingerprint(self.pair.base), fingerprint(self.pair.donor)]
        rows = rows_hash(workbench.model)
        key = [*models, *self.bench.place(), rows, sources(EVALUATION)]
        figures = self.bench.kept("--".join(names), key, self._evaluate)
        shared: dict[str, Any] = {"shared": workbench.pair.match.shared, "chosen": made.chosen}
        return figures | shared | told_of_rows(made.rows) | {"inner_seconds": made.seconds}

    def _evaluate(self) -> Figures:
        """The model on the workbench; rows that were made before are not evaluated again."""
        new = self._workbench.pair.donor_vocabulary
        result = evaluate_model(self._workbench.model, new, self.bench.documents)
        figures = result.to_dict()
        figures.pop("model")
        figures["evaluation_seconds"] = figures.pop("seconds")
        return figures | {"nats": result.nats.tolist()}


def method_of(run: Run) -> Method:
    """The method of a run; OMP at a fixed k is not tuned."""
    fixed = {"tune": False} if run.method == "omp" and run.k is not None else {}
    return build_method(run.method, k=run.k, **fixed)


def sources_of_rows() -> str:
    """The SHA-256 of the modules that decide rows and their evaluation."""
    files = [file for room in ROOMS for file in sorted((PACKAGE / room).rglob("*.py"))]
    files += [PACKAGE / "workflows" / name for name in (*MAKING, *EVALUATION)]
    return digest([file_hash(file) for file in files])


def one_line(failure: TokxferError) -> str:
    return " ".join(str(failure).split())
