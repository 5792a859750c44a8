"""What an evaluation found: costs per document, and the figures that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokxfer.workflows.figures import Figures, Ratio

__all__ = ["Evaluation", "EvaluationReport", "Ratio"]


@dataclass(frozen=True, eq=False)
class Evaluation(Figures):
    """How well a model predicts documents, document by document.

    Args:
        model: Its name.
        nats: Minus the natural logarithm of each document's probability, float64 [documents].
        document_tokens: Tokens scored in each document, int64 [documents].
        document_bytes: UTF-8 bytes of each document as given, int64 [documents].
        lossy_documents: Documents that the tokenizer does not give back as they were.
        lossy_bytes: UTF-8 bytes of the characters missing from what it gives back.
        empty_documents: Empty documents, left out of everything else.
        window: Tokens of a window.
        begin: The id every document starts after, None for a model that has none.
        seconds: Wall time, loading left out.
    """

    model: str
    nats: NDArray[np.float64] = field(repr=False)
    document_tokens: NDArray[np.int64] = field(repr=False)
    document_bytes: NDArray[np.int64] = field(repr=False)
    lossy_documents: int
    lossy_bytes: int
    empty_documents: int
    window: int
    begin: int | None
    seconds: float

    @property
    def tokens(self) -> int:
        """Tokens scored; begin tokens are not."""
        return int(self.document_tokens.sum())

    @property
    def perplexity(self) -> float:
        """Perplexity per token: not comparable between tokenizers."""
        return math.exp(min(float(self.nats.sum()) / self.tokens, 709.0))

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as `--json` prints them."""
        return {
            "model": self.model,
            "bits_per_byte": self.bits_per_byte,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "stderr": self.stderr,
            "documents": self.documents,
            "empty_documents": self.empty_documents,
            "lossy_documents": self.lossy_documents,
            "lossy_bytes": self.lossy_bytes,
            "window": self.window,
            "begin": self.begin,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class EvaluationReport:
    """Several models on one text, in the order in which they were named.

    Args:
        results: One evaluation for each model.
        against: The evaluation of the base that the ratios refer to, or None.
        settings: What was asked for, resolved.
    """

    results: tuple[Evaluation, ...]
    against: Evaluation | None
    settings: Mapping[str, Any]

    def all_results(self) -> tuple[Evaluation, ...]:
        """The results, each model once, the base first."""
        base = () if self.against is None else (self.against,)
        return tuple(dict.fromkeys((*base, *self.results)))

    def ratios(self) -> tuple[Ratio | None, ...]:
        """Bits per byte of each result over the base's; None without a base."""
        if self.against is None:
            return (None,) * len(self.results)
        return tuple(result.ratio(self.against) for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Give results, base and settings as `--json` prints them."""
        results = []
        for result, ratio in zip(self.results, self.ratios(), strict=True):
            figures = result.to_dict()
            if ratio is not None:
                figures |= {"ratio": ratio.value, "ratio_stderr": ratio.stderr}
            results.append(figures)
        against = None if self.against is None else self.against.to_dict()
        return {"results": results, "against": against, "settings": dict(self.settings)}
