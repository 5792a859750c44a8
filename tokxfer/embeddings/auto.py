"""`auto`: for each matrix the method and options that come nearest to held-out shared tokens."""

from __future__ import annotations

import dataclasses
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
    Each matrix has its own choice. With too few shared
    tokens to hold any out it is `subword-uniform`. The report has every score.
    """

    name: ClassVar[str] = "auto"
    needs: ClassVar[frozenset[str]] = frozenset()
    wants: ClassVar[frozenset[str]] = frozenset({"donor weights", "encoder", "text"})

    def solve(self, problem: Problem) -> Solution:
        """The rows of the best candidate."""
        given = {"anchors"}
        given |= set() if problem.donor_rows is None else {"donor weights"}
        given |= set() if problem.encoder is None else {"encoder"}
        given |= set() if problem.corpus is None else {"text"}
        scores: dict[str, float] = {}
        best = float("-inf")
        method: Method = FALLBACK
        for candidate in CANDIDATES:
            if not candidate.needs <= given:
                continue
            try:
                cosine = held_out(problem, candidate).cosine
            except VocabularyError:  # too few anchors, or too little text
                continue
            scores[label(candidate)] = round(cosine, 4)
            if cosine > best:
                best, method = cosine, candidate
        solution = method.solve(problem)
        details = {"method": label(method), "cosines": scores, **solution.details}
        return dataclasses.replace(solution, details=details)
