"""The single measurements of `transplant.py`: one transplant in its own process, evaluated, kept.

A measurement is kept in a file named after everything that went into it: the two models, the text,
the command, the tool's version or sources, threads and machine. What has been measured is read.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import tokxfer
from tokxfer.checkpoints import file_hash, load_model, load_tokenizer
from tokxfer.errors import TokxferError
from tokxfer.workflows.evaluate import evaluate_model

TOKXFER = (sys.executable, "-c", "from tokxfer.cli.main import main; main()", "transplant")
PACKAGE = Path(tokxfer.__file__).parent
EVALUATION = ("encoding.py", "evaluate.py", "evaluation.py", "scoring.py")
COUNTS = re.compile(r"(Exact matches|Byte matches|Tokens to approximate): (\d+)")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A base and the donor of its new tokenizer."""

    base: Path
    donor: Path

    @property
    def name(self) -> str:
        return f"{self.base.name} ← {self.donor.name}"


@dataclass(frozen=True)
class Run:
    """One transplant to be measured: a tool, its method and its settings.

    `named` gives mergekit folders that say the tokenizer's class; `flags` are further arguments.
    """

    tool: str
    method: str
    k: int | None = None
    named: bool = False
    flags: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Arguments beside base, donor and target."""
        k = [] if self.k is None else ["-k", str(self.k)]
        if self.tool == "mergekit":
            return ["-a", self.method, *k, *self.flags]
        return ["--method", self.method, *k, *(["--no-tune"] if k else []), *self.flags]


@dataclass
class Bench:
    """Measures transplants on one text.

    Args:
        documents: The text.
        cache: Folder of measurements and of temporary results.
        threads: Of every process.
        seed: For the methods that draw numbers.
        mergekit: Its Python and version, None to leave it out.
        jobs: How many measurements run at a time; with more than one, seconds are rough.
    """

    documents: list[str]
    cache: Path
    threads: int
    seed: int
    mergekit: tuple[Path, str] | None
    jobs: int = 1
    text_hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        self.text_hash = digest(self.documents)
        torch.set_num_threads(self.threads)

    def base(self, folder: Path) -> Figures:
        """A model on the text, as it is."""
        key = [fingerprint(folder), *self.place(), sources(EVALUATION)]
        return self.kept(folder.name, key, lambda: self._evaluate(folder, folder))

    def run(self, pair: Pair, run: Run, folders: Pair) -> Figures:
        """A transplant, its cost and its result on the text.

        Args:
            pair: The two models.
            run: What to do.
            folders: Where the tool finds them: `pair` itself, or named copies.
        """
        ours = run.tool == "tokxfer"
        version = sources(None) if ours else [self._peer()[1], sources(EVALUATION)]
        key = [
            *(fingerprint(pair.base), fingerprint(pair.donor), *self.place(), version),
            *(run.tool, run.arguments(), run.named, self.seed),
        ]
        words = (pair.base.name, pair.donor.name, run.tool, run.method, run.k or "default")
        return self.kept("--".join(map(str, words)), key, lambda: self._measure(pair, run, folders))

    def _peer(self) -> tuple[Path, str]:
        assert self.mergekit is not None
        return self.mergekit

    def place(self) -> list[object]:
        """What every measurement depends on beside the models and the command."""
        machine = (platform.node(), platform.machine(), os.cpu_count())
        return [self.text_hash, self.threads, *machine, torch.__version__]

    def kept(self, name: str, key: object, measure: Callable[[], Figures]) -> Figures:
        """A measurement as it was kept, or made and kept."""
        return kept(self.cache, name, key, measure)

    def _measure(self, pair: Pair, run: Run, folders: Pair) -> Figures:
        ours = run.tool == "tokxfer"
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="work-") as work:
            out = Path(work, "out")
            common = [str(folders.base), str(folders.donor), str(out), *run.arguments()]
            if ours:
                command = [*TOKXFER, *common, *("--seed", str(self.seed), "--device", "cpu")]
                command += ["--json", "--quiet"]
            else:
                program = self._peer()[0].with_name("mergekit-tokensurgeon")
                command = [str(program), *common, "-v"]
            cost, said, complaint = timed(command, Path(work), self.threads)
            cost |= {"jobs": self.jobs} if self.jobs > 1 else {}
            if cost["status"]:
                lines = complaint.strip().splitlines() or [f"exit code {cost['status']}"]
                return cost | {"failed": lines[-1]}
            told = told_by_tokxfer(said) if ours else told_by_mergekit(complaint + said)
            weights = sorted(out.glob("*.safetensors"))
            told["weights"] = digest([file_hash(file) for file in weights])
            return cost | told | self._evaluate(out, out if ours else pair.donor)

    def _evaluate(self, model: Path, tokenizer: Path) -> Figures:
        try:
            result = evaluate_model(
                load_model(model, dtype=torch.float32), load_tokenizer(tokenizer), self.documents
            )
        except TokxferError as failure:
            return {"failed": str(failure)}
        figures = result.to_dict()
        figures.pop("model")
        figures["evaluation_seconds"] = figures.pop("seconds")
        figures["nats"] = result.nats.tolist()
        return figures


def kept(cache: Path, name: str, key: object, measure: Callable[[], Figures]) -> Figures:
    """A measurement as it was kept under its name and key, or made and kept."""
    file = cache / f"{name}--{digest(key)[:12]}.json"
    if not file.exists():
        text = json.dumps(measure(), ensure_ascii=False)
        partial = file.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.rename(file)
    figures: Figures = json.loads(file.read_text(encoding="utf-8"))
    return figures


def timed(command: list[str], work: Path, threads: int) -> tuple[Figures, str, str]:
    """Run a command; what it took, its output and its messages."""
    surroundings = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    figures, starter = work / "figures.json", Path(__file__).with_name("measure.py")
    with (work / "stdout").open("w") as output, (work / "stderr").open("w") as messages:
        subprocess.run(
            [sys.executable, "-I", str(starter), str(figures), *command],
            check=True, stdout=output, stderr=messages, env=surroundings,
        )  # fmt: skip
    cost: Figures = json.loads(figures.read_text())
    return cost, *(Path(work, name).read_text("utf-8") for name in ("stdout", "stderr"))


def told_by_tokxfer(output: str) -> Figures:
    """Counts of the input matrix's rows, and what the method chose."""
    report = json.loads(output)
    told = {"inner_seconds": report["seconds"], "chosen": report["chosen"]}
    return {"shared": report["shared"]} | told_of_rows(report["rows"]) | told


def told_of_rows(rows: Mapping[str, Mapping[str, int]]) -> Figures:
    """How many rows of the input matrix were copied, and how many approximated."""
    counts = dict(next(iter(rows.values())))
    counts.pop("padding", None)
    copied = counts.pop("copied", 0) + counts.pop("role", 0)
    return {"copied": copied, "approximated": sum(counts.values())}


def told_by_mergekit(output: str) -> Figures:
    """The counts in its log, of the first matrix."""
    found: dict[str, int] = {}
    for name, count in COUNTS.findall(output):
        found.setdefault(name, int(count))
    copied = found.get("Exact matches", 0) + found.get("Byte matches", 0)
    return {"copied": copied, "approximated": found.get("Tokens to approximate", 0)}


def digest(value: Any) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


@functools.cache
def fingerprint(folder: Path) -> str:
    """The SHA-256 of what decides a model: weights, configs and tokenizer."""
    files = sorted(
        file for ending in ("safetensors", "json") for file in folder.glob(f"*.{ending}")
    )
    kept = [file for file in files if file.name != "reference.json"]
    return digest([[file.name, file_hash(file)] for file in kept])


def rows_hash(model: Any) -> str:
    """The SHA-256 of a model's input and output matrix."""
    found = hashlib.sha256()
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        found.update(part.weight.detach().numpy().tobytes())
    return found.hexdigest()


@functools.cache
def sources(names: Iterable[str] | None) -> str:
    """The SHA-256 of this package's modules: all of them, or those of `workflows` named."""
    files = (
        sorted(PACKAGE.rglob("*.py"))
        if names is None
        else [PACKAGE / "workflows" / name for name in names]
    )
    return digest([file_hash(file) for file in files])
