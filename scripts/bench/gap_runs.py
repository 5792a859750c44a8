"""The single measurements of `gap.py`: a method's rows or the oracle's on one pair, kept.

A measurement is kept in a file named after what went into it. Rows are keyed by the sources of the
method and of what it imports, bits per byte by the rows, the oracle by the bits per byte that it
started from: a change of one method measures that method again, a change of none measures nothing.
"""

from __future__ import annotations

import ast
import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gap_oracle import NewRows, Training, pack, train_rows
from gap_text import Text
from transplant_runs import (
    EVALUATION,
    PACKAGE,
    Figures,
    Pair,
    digest,
    fingerprint,
    kept,
    rows_hash,
    sources,
)

import tokxfer
from tokxfer.checkpoints import file_hash, load_model
from tokxfer.embeddings import build_method
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.workflows.corpus import TextCorpus
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.matrices import pose_all
from tokxfer.workflows.transplant import read_matrices
from tokxfer.workflows.workbench import Pair as OpenPair
from tokxfer.workflows.workbench import Workbench

ORACLE = ("gap_oracle.py", "../reference/train.py")
JUDGES = ("tokxfer.embeddings.assembling", "tokxfer.embeddings.heldout")


@dataclass
class Study:
    """One pair on one text with one seed.

    Args:
        pair: The two models.
        text: What to train on and to judge by.
        seed: Of the methods, of the order of the text and of the noise at the start.
        cache: Folder of measurements.
        encoder: For methods that need one; None where there is none.
        corpus: For methods that are fitted on text; None where there is none.
    """

    pair: Pair
    text: Text
    seed: int
    cache: Path
    encoder: TextEncoder | None = None
    corpus: TextCorpus | None = None
    _holds: str = ""

    def base(self) -> Figures:
        """The base as it is."""
        key = [fingerprint(self.pair.base), self.text.hash, *place(), sources(EVALUATION)]

        def measure() -> Figures:
            model = load_model(self.pair.base, dtype=torch.float32)
            return judge(model, self._open.base_vocabulary, self.text)

        return kept(self.cache, f"{self.pair.base.name}--{self.text.name}", key, measure)

    def method(self, name: str) -> Figures:
        """What a method makes of the pair, and its bits per byte.

        Raises:
            TokxferError: It cannot run here.
        """
        words = [self.pair.base.name, self.pair.donor.name, name, str(self.seed)]
        models = [fingerprint(self.pair.base), fingerprint(self.pair.donor)]
        modules = (type(build_method(name)).__module__, *JUDGES)
        told = [helper and helper.fingerprint for helper in self._helpers(name)]
        key = [*models, name, self.seed, closure(modules), told, *place()]
        made = kept(self.cache, "--".join([*words, "rows"]), key, lambda: self._make(name))
        key = [*models, made["rows"], self.text.hash, *place(), sources(EVALUATION)]
        words[3] = self.text.name
        return made | kept(self.cache, "--".join(words), key, lambda: self._judge(name))

    def oracle(self, start: str, training: Training, advance: Callable[[int], Any]) -> Figures:
        """The best rows, trained from those of the method `start`, and their bits per byte."""
        training = replace(training, seed=self.seed)
        begun = round(self.method(start)["bits_per_byte"], 4)
        folder = Path(__file__).parent
        key = [
            *(fingerprint(self.pair.base), fingerprint(self.pair.donor), start, begun),
            *(self.text.hash, self.text.files),
            *(asdict(training), [file_hash(folder / name) for name in ORACLE], *place()),
            sources(EVALUATION),
        ]
        words = [self.pair.base.name, self.pair.donor.name, self.text.name, "oracle", self.seed]

        def measure() -> Figures:
            return self._train(start, training, advance)

        return kept(self.cache, "--".join(map(str, words)), key, measure)

    @cached_property
    def missing(self) -> dict[str, list[int]]:
        """Donor ids that the base has no row for, by matrix."""
        pair = self._open
        problems = pose_all(
            read_matrices(pair.base), None, pair.base_vocabulary, pair.donor_vocabulary, pair.match
        )
        return {matrix: problem.missing.tolist() for matrix, problem in problems.items()}

    @cached_property
    def _open(self) -> OpenPair:
        return OpenPair.open(self.pair.base, self.pair.donor, [build_method("omp")], offline=True)

    @cached_property
    def _bench(self) -> Workbench:
        model = load_model(self._open.base.path, dtype=torch.float32)
        return Workbench(self._open, model, torch.device("cpu"), seed=self.seed, budget=None)

    def _helpers(self, name: str) -> tuple[TextEncoder | None, TextCorpus | None]:
        """Encoder and corpus, if the method needs them.

        Raises:
            UsageError: It does, and there is none.
        """
        needs = build_method(name).needs
        if "encoder" in needs and self.encoder is None:
            raise UsageError("no text encoder is installed")
        if "text" in needs and self.corpus is None:
            raise UsageError("no text to fit on: give --fit-text FILE")
        return (
            self.encoder if "encoder" in needs else None,
            self.corpus if "text" in needs else None,
        )

    def _make(self, name: str) -> Figures:
        made = self._bench.make(build_method(name), *self._helpers(name))
        self._holds = name
        scores = {matrix: score.cosine for matrix, score in made.held_out.items()}
        return {"cosine": scores, "rows": rows_hash(self._bench.model), "seconds": made.seconds}

    def _hold(self, name: str) -> None:
        if self._holds != name:
            self._make(name)

    def _judge(self, name: str) -> Figures:
        self._hold(name)
        return judge(self._bench.model, self._open.donor_vocabulary, self.text)

    def _train(self, start: str, training: Training, advance: Callable[[int], Any]) -> Figures:
        self._hold(start)
        self._holds = ""
        model, vocabulary = self._bench.model, self._open.donor_vocabulary
        documents, develop = self.text.draw(self.seed)
        ids = pack(documents, vocabulary, training.tokens)
        training = replace(training, tokens=min(training.tokens, len(ids) - 1))
        started = time.perf_counter()
        curve = train_rows(
            NewRows(model, self.missing),
            ids,
            training,
            lambda: evaluate_model(model, vocabulary, develop).bits_per_byte,
            advance,
        )
        seen = {matrix: float(np.isin(new, ids).mean()) for matrix, new in self.missing.items()}
        return judge(model, vocabulary, self.text) | {
            "curve": curve,
            "start": start,
            "training": asdict(training),
            "new_tokens_seen": seen,
            "training_seconds": time.perf_counter() - started,
        }


def judge(model: Any, vocabulary: ByteVocabulary, text: Text) -> Figures:
    """A model on the documents to judge by."""
    result = evaluate_model(model, vocabulary, text.judged)
    return {
        "bits_per_byte": result.bits_per_byte,
        "tokens": result.tokens,
        "nats": result.nats.tolist(),
    }


def place() -> list[object]:
    """What else decides a figure's last digits."""
    return [torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]


@functools.cache
def closure(modules: tuple[str, ...], within: tuple[str, ...] = (tokxfer.__name__,)) -> str:
    """The SHA-256 of modules of this package and of those that they import by name, in turn.

    Args:
        modules: The first ones.
        within: What the names of the others begin with.
    """
    root, files, open_ = PACKAGE.parent, {}, list(modules)
    while open_:
        name = open_.pop()
        path = root.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in files or not file.is_file():
            continue
        files[name] = file_hash(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(within):
                open_ += [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
    return digest(sorted(files.items()))
