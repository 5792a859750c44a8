"""`auto`: the method and options that come nearest to held-out shared tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tokxfer.embeddings.asymmetric import Asymmetric
from tokxfer.embeddings.blend import Blend
from tokxfer.embeddings.focus import Focus
from tokxfer.embeddings.heldout import held_out
from tokxfer.embeddings.knn import Neighbours
from tokxfer.embeddings.linear import Linear
from tokxfer.embeddings.omp import OMP
from tokxfer.embeddings.problem import Method, Problem, Solution, label
from tokxfer.embeddings.procrustes import Procrustes
from tokxfer.embeddings.subword import Subword
from tokxfer.embeddings.subword_first import SubwordFirst
from tokxfer.embeddings.subword_last import SubwordLast
from tokxfer.embeddings.subword_length import SubwordLength
from tokxfer.embeddings.tokenadapt_global import TokenAdaptGlobal
from tokxfer.embeddings.tokenadapt_hybrid import TokenAdaptHybrid
from tokxfer.embeddings.tokenadapt_local import TokenAdaptLocal
from tokxfer.embeddings.wechsel import Wechsel
from tokxfer.errors import VocabularyError

CANDIDATES: tuple[Method, ...] = (
    Blend(),
    OMP(),
    OMP(center=True),
    Linear(),
    Procrustes(),
    *(Neighbours(k, weights) for k in (4, 16, 64) for weights in ("barycentric", "least-squares")),
    Subword(),
    SubwordLength(),
    SubwordFirst(),
    SubwordLast(),
    Asymmetric(),
    *(TokenAdaptHybrid(temperature=temperature) for temperature in (0.1, 0.3)),
    *(TokenAdaptLocal(temperature=temperature) for temperature in (0.1, 0.3)),
    *(TokenAdaptGlobal(k=k) for k in (3, 10)),
    *(Focus(unseen="pieces", epochs=epochs) for epochs in (3, 15)),
    Wechsel(unseen="pieces"),
)
FALLBACK = Subword()


@dataclass(frozen=True)
class Auto:
    """Every candidate rebuilds held-out shared tokens; the one of the highest cosine is taken.

    Candidates are methods with a few settings of their options each, as far as they need no more
    than is given: the subword family for a bare tokenizer; `omp` (which chooses further options in
    the same way), `blend`, `knn`, `linear` and `procrustes` too where there are donor weights;
    TokenAdapt where a text encoder is given, `focus` and `wechsel` where a text to be fitted on is.
    An untied base's two matrices get the same method, that of the highest mean of both cosines.
    With too few shared tokens to hold any out it is `subword-uniform`. The report has every score.
    """

    name: ClassVar[str] = "auto"
    needs: ClassVar[frozenset[str]] = frozenset()
    wants: ClassVar[frozenset[str]] = frozenset({"donor weights", "encoder", "text"})

    def settle(self, problems: Sequence[Problem]) -> Settled:
        """The best candidate for the problems of all matrices of one base."""
        cosines: dict[str, dict[str, float]] = {problem.matrix: {} for problem in problems}
        best = float("-inf")
        method: Method = FALLBACK
        for candidate in CANDIDATES:
            if not candidate.needs <= given(problems[0]):
                continue
            try:
                found = {p.matrix: held_out(p, candidate).cosine for p in problems}
            except VocabularyError:  # too few anchors, or too little text
                continue
            for matrix, cosine in found.items():
                cosines[matrix][label(candidate)] = round(cosine, 4)
            mean = sum(found.values()) / len(found)
            if mean > best:
                best, method = mean, candidate
        return Settled(method, cosines)

    def solve(self, problem: Problem) -> Solution:
        """The rows of the best candidate for this matrix and the base's other one."""
        both = [problem] if problem.other is None else [problem, problem.other]
        return self.settle(both).solve(problem)


@dataclass(frozen=True)
class Settled:
    """The method that was chosen for a base, and why.

    Args:
        method: The method.
        cosines: By matrix, the mean cosine of every candidate with held-out rows.
    """

    method: Method
    cosines: Mapping[str, Mapping[str, float]]

    def solve(self, problem: Problem) -> Solution:
        """The method's rows."""
        solution = self.method.solve(problem)
        chosen = {"method": label(self.method), "cosines": dict(self.cosines[problem.matrix])}
        return dataclasses.replace(solution, details=chosen | dict(solution.details))


def settled(method: Method | Settled, problems: Sequence[Problem]) -> Method | Settled:
    """A method that chooses, after its choice for these problems; any other as it is."""
    return method.settle(problems) if isinstance(method, Auto) else method


def given(problem: Problem) -> frozenset[str]:
    """What methods may need that a problem has."""
    there = {
        "anchors": True,
        "donor weights": problem.donor_rows is not None,
        "encoder": problem.encoder is not None,
        "text": problem.corpus is not None,
    }
    return frozenset(name for name, has in there.items() if has)
