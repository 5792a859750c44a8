"""What a comparison of methods found, and which differences can be told from chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokxfer.workflows.evaluation import Evaluation, Ratio
from tokxfer.workflows.fitting import hardly_fitted
from tokxfer.workflows.workbench import Made

FEWEST = 8  # documents, half of them to choose on and half to judge on
NOTED = 0.5  # seconds


@dataclass(frozen=True, eq=False)
class Compared:
    """One method on one pair of models.

    Attributes:
        method: Its name, with the options that tell it apart where one is tried twice.
        made: Its rows, and what they are worth without any text.
        evaluation: The new model on the text.
        ratio: Bits per byte over the base's, paired by document.
        probed: A copy of the new model on the text, after a short training; None without one.
        probe_ratio: Its bits per byte over the base's.
        probe_failure: Why there was none although it was asked for.
    """

    method: str
    made: Made
    evaluation: Evaluation
    ratio: Ratio
    probed: Evaluation | None = None
    probe_ratio: Ratio | None = None
    probe_failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For `--json` and `report.json`; `stderr` is that of the ratio.

        What a probe found is None where there was none.
        """
        return {
            "method": self.method,
            "bits_per_byte": self.evaluation.bits_per_byte,
            "ratio": self.ratio.value,
            "stderr": self.ratio.stderr,
            "perplexity": self.evaluation.perplexity,
            "lossy_documents": self.evaluation.lossy_documents,
            "lossy_bytes": self.evaluation.lossy_bytes,
            "probe_bits_per_byte": None if self.probed is None else self.probed.bits_per_byte,
            "probe_ratio": None if self.probe_ratio is None else self.probe_ratio.value,
            "probe_stderr": None if self.probe_ratio is None else self.probe_ratio.stderr,
            **self.made.to_dict(),
        }


@dataclass(frozen=True)
class Verdict:
    """The best method on one half of the documents, judged on the other.

    Attributes:
        method: The method with the lowest ratio on the first half.
        ratio: Its ratio on the second half.
        stderr: Standard error of that ratio.
        better: Methods that on the second half are better by more than the standard error of the
            difference.
        equal: Methods that there differ from it by no more than that.
        others: How many methods there are beside it.
    """

    method: str
    ratio: float
    stderr: float | None
    better: tuple[str, ...]
    equal: tuple[str, ...]
    others: int


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """Several methods side by side, the best first.

    Attributes:
        base: The base on the text, with its own tokenizer.
        base_name, donor_name: The models by name.
        shared: Distinct byte strings both vocabularies have.
        coverage: `shared` over the donor's distinct byte strings.
        text_coverage: Share of the donor's tokens in the text whose rows come from the base.
        undertrained: For each matrix, how many rows of base and donor training hardly touched; they
            are not learnt from.
        results: One entry per method, by ratio.
        skipped: Methods that could not run, each with the reason.
        verdict: Which is best; None for fewer than `FEWEST` documents.
        probe_verdict: Which is best after the probe; None without one, too.
        settings: What was asked for, resolved.
        versions: Of the packages it was made with.
    """

    base: Evaluation
    base_name: str
    donor_name: str
    shared: int
    coverage: float
    text_coverage: float
    undertrained: Mapping[str, Mapping[str, int]]
    results: tuple[Compared, ...]
    skipped: Mapping[str, str]
    verdict: Verdict | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str | None] = field(default_factory=dict)
    probe_verdict: Verdict | None = None

    @property
    def probe(self) -> int | None:
        """Steps of the probe; None without one."""
        return self.settings.get("probe")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know beside the figures, a sentence each."""
        found = []
        if off := self.settings.get("documents_split_off"):
            found.append(
                f"{off:,} document{'s were' if off > 1 else ' was'} split off to be learnt from, "
                f"and no model is scored on {'them' if off > 1 else 'it'}."
            )
        if out := self.settings.get("documents_left_out"):
            found.append(
                f"{out:,} document{'s' if out > 1 else ''} of the training text "
                f"{'are' if out > 1 else 'is'} scored too, and nothing was fitted on "
                f"{'them' if out > 1 else 'it'}."
            )
        for result in self.results:
            found += hardly_fitted(result.method, result.made.chosen)
        slow = [result for result in self.results if result.made.preparing_seconds >= NOTED]
        if slow:
            told = [f"{result.method} {prepared(result.made)}" for result in slow]
            found.append(
                f"Before the clock, tokens were encoded or vectors fitted, as far as that was not "
                f"kept on disk: {', '.join(told)}."
            )
        found += [
            f"{result.method} could not be probed: {result.probe_failure}"
            for result in self.results
            if result.probe_failure
        ]
        if lost := max((result.evaluation.lossy_bytes for result in self.results), default=0):
            found.append(
                f"The donor's tokenizer does not give back {lost:,} of {self.base.bytes:,} bytes "
                "of the text: compare methods with each other, not with the base."
            )
        if self.results and self.verdict is None:
            found.append(
                f"No method is called the best: {self.base.documents:,} "
                f"document{'s were' if self.base.documents > 1 else ' was'} scored, and {FEWEST} "
                "are the least to choose on one half and judge on the other."
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints and `report.json` holds."""
        return {
            "base": self.base.to_dict() | {"model": self.base_name},
            "donor": self.donor_name,
            "shared": self.shared,
            "coverage": self.coverage,
            "text_coverage": self.text_coverage,
            "undertrained": {matrix: dict(counts) for matrix, counts in self.undertrained.items()},
            "results": [result.to_dict() for result in self.results],
            "skipped": [{"method": m, "reason": reason} for m, reason in self.skipped.items()],
            "verdict": None if self.verdict is None else asdict(self.verdict),
            "probe_verdict": None if self.probe_verdict is None else asdict(self.probe_verdict),
            "settings": dict(self.settings),
            "versions": dict(self.versions),
        }


def prepared(made: Made) -> str:
    """What came before the clock: seconds, and megabytes where they are known."""
    taken = made.preparing_bytes
    memory = "" if taken is None else f" and {taken / 1e6:,.0f} MB"
    return f"{made.preparing_seconds:.1f} s{memory}"


def judge(base: Evaluation, results: tuple[Compared, ...], seed: int) -> Verdict | None:
    """Choose a method on a random half of the documents, and judge it on the other half."""
    count = base.documents
    if count < FEWEST or not results:
        return None
    order = np.random.default_rng(seed).permutation(count)
    first, second = np.sort(order[: count // 2]), np.sort(order[count // 2 :])
    chosen = min(results, key=lambda r: over(r.evaluation, base, first).value)
    judged = over(chosen.evaluation, base, second)
    signs = {
        other.method: sign(other, chosen, base, second) for other in results if other is not chosen
    }
    return Verdict(
        method=chosen.method,
        ratio=judged.value,
        stderr=judged.stderr,
        better=tuple(name for name, found in signs.items() if found < 0),
        equal=tuple(name for name, found in signs.items() if found == 0),
        others=len(signs),
    )


def judge_probed(base: Evaluation, results: tuple[Compared, ...], seed: int) -> Verdict | None:
    """The same for what methods are after the probe; those without are left out."""
    probed = tuple(replace(r, evaluation=r.probed) for r in results if r.probed is not None)
    return judge(base, probed, seed)


def over(model: Evaluation, base: Evaluation, part: NDArray[np.int64]) -> Ratio:
    """The ratio of bits per byte on some documents."""
    return Ratio.of(model.nats[part], base.nats[part])


def sign(one: Compared, other: Compared, base: Evaluation, part: NDArray[np.int64]) -> int:
    """1 if a method is worse than another by more than the paired standard error, -1 if better."""
    difference = Ratio.of(one.evaluation.nats[part] - other.evaluation.nats[part], base.nats[part])
    assert difference.stderr is not None, "a half has two documents or more"
    return int(np.sign(difference.value)) if abs(difference.value) > difference.stderr else 0
