"""The runs of `transplant.py`: where mergekit finds its folders, and what goes side by side."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import mergekit_naming
import torch
import transplant_page as pages
from transplant_inside import Inside, TrainText
from transplant_runs import Bench, Figures, Pair, Run, fingerprint

from tokxfer.embeddings import build_method


@dataclass(frozen=True)
class Given:
    """What was asked for.

    Attributes:
        methods: Ours, by their own names.
        peer_methods: mergekit's.
        sizes: The k of both omps and of knn.
        peer_sizes: The k of mergekit's other methods.
        train: The text to fit on, or None.
    """

    methods: tuple[str, ...]
    peer_methods: tuple[str, ...]
    sizes: tuple[int, ...]
    peer_sizes: tuple[int, ...]
    train: TrainText | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Given:
        names = tuple(dict.fromkeys(build_method(name).name for name in options.methods))
        train = options.train_text and TrainText(options.train_text, options.train_limit)
        return cls(
            names, tuple(options.peer_methods), tuple(options.ks), tuple(options.peer_ks), train
        )


@dataclass(frozen=True)
class Naming:
    """Where mergekit finds a pair: as it is, and in copies that name the tokenizers' classes.

    Attributes:
        pair: As it is.
        named: The copies; the folder itself where there is no class to name.
        classes: The classes named, None for none.
    """

    pair: Pair
    named: Pair
    classes: list[str | None]

    @classmethod
    def of(cls, bench: Bench, pair: Pair) -> Naming:
        assert bench.mergekit is not None
        folders = (pair.base, pair.donor)
        copies = [bench.cache / "named" / f"{f.name}-{fingerprint(f)[:12]}" for f in folders]
        classes = [
            mergekit_naming.named_copy(folder, copy, bench.mergekit[0])
            for folder, copy in zip(folders, copies, strict=True)
        ]
        chosen = [
            copy if kind else folder
            for kind, copy, folder in zip(classes, copies, folders, strict=True)
        ]
        return cls(pair, Pair(*chosen), classes)

    def first(self, sizes: Sequence[int], methods: Sequence[str]) -> list[Run]:
        """The runs that are raced both ways: omp at every k, subword and mean."""
        plan: list[tuple[str, int | None]] = [("omp", k) for k in sizes] if "omp" in methods else []
        plan += [(name, None) for name in ("subword", "mean") if name in methods]
        ways = (False, True) if any(self.classes) else (False,)
        return [Run("mergekit", *one, named) for named in ways for one in plan]

    def folders(self, run: Run) -> Pair:
        return self.named if run.named else self.pair


@dataclass(frozen=True)
class Told:
    """Measures the runs of one pair, and says what each was.

    Attributes:
        bench: Measures in processes of their own.
        pair: The two models.
        base: The base's own figures.
        inside: Measures in this process.
        naming: Where mergekit finds the pair; None without it.
        advance: Called with the number of runs done.
    """

    bench: Bench
    pair: Pair
    base: Figures
    inside: Inside
    naming: Naming | None
    advance: Callable[[int], Any]

    def figures(self, run: Run) -> Figures:
        """One run, measured or read."""
        if alone(run):
            folders = self.naming.folders(run) if self.naming else self.pair
            figures = self.bench.run(self.pair, run, self.pair if ours(run) else folders)
        else:
            figures = self.inside.run(run)
        self.advance(1)
        about = {"tool": run.tool, "method": run.method, "k": run.k, "named": run.named}
        return about | {"flags": list(run.flags)} | figures | pages.against(figures, self.base)

    def unless_same(self, runs: Sequence[Run]) -> list[Figures]:
        """Runs both ways; naming is dropped after the first where it changes nothing."""
        plain = [self.figures(run) for run in runs if not run.named]
        found = list(plain)
        for index, run in enumerate(run for run in runs if run.named):
            found.append(self.figures(run))
            if index == 0 and found[-1].get("weights") == plain[0].get("weights"):
                self.advance(len(plain) - 1)
                break
        return found


def ours(run: Run) -> bool:
    return run.tool == "tokxfer"


def alone(run: Run) -> bool:
    """Whether a run has a process of its own: mergekit's, and ours that are timed."""
    timed = run.k is None and run.method in ("omp", "subword-uniform")
    return not ours(run) or timed or bool(run.flags)


def prefetch(told: Told, runs: Iterable[Run], inside: Sequence[Run]) -> None:
    """Measure what can go side by side, so that it only has to be read afterwards."""
    bench = told.bench
    if bench.jobs < 2:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(bench.jobs, mp_context=context) as pool:
        waiting = [pool.submit(measure_inside, told.inside, list(inside))] if inside else []
        for run in runs:
            elsewhere = told.naming is not None and not ours(run)
            folders = told.naming.folders(run) if elsewhere and told.naming else told.pair
            waiting.append(pool.submit(measure_alone, bench, told.pair, run, folders))
        for one in waiting:
            one.result()


def measure_alone(bench: Bench, pair: Pair, run: Run, folders: Pair) -> None:
    """In a worker: one run in a process of its own, kept."""
    torch.set_num_threads(bench.threads)
    bench.run(pair, run, folders)


def measure_inside(inside: Inside, runs: list[Run]) -> None:
    """In a worker: every run that shares a loaded base, kept."""
    torch.set_num_threads(inside.bench.threads)
    for run in runs:
        inside.run(run)
