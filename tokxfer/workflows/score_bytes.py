"""`score_bytes`: bits per byte of a model that is asked for bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokxfer.bytelevel import ByteLM, Score
from tokxfer.bytelevel.context import Beginning
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.bytelevel.scoring import score_texts
from tokxfer.bytelevel.windows import check_window
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.figures import Figures
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.text import read_documents


@dataclass(frozen=True, eq=False)
class ByteEvaluation(Figures):
    """How well a model predicts documents byte by byte.

    Args:
        model: Its name.
        scores: What it says of each document's bytes.
        document_bytes: Bytes of each document as given, int64 [documents].
        empty_documents: Empty documents, left out of everything else.
        law: The law's name: canonical or all.
        window: Tokens of the windows that texts were read in, None where the model has no limit.
        begin: The id every document starts after, None where it starts after nothing.
        seconds: Wall time, loading left out.
    """

    model: str
    scores: tuple[Score, ...] = field(repr=False)
    document_bytes: NDArray[np.int64] = field(repr=False)
    empty_documents: int
    law: str
    window: int | None
    begin: int | None
    seconds: float
    nats: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        nats = np.array([-score.total for score in self.scores], dtype=np.float64)
        object.__setattr__(self, "nats", nats)

    @property
    def mass(self) -> float:
        """Log-mass of all documents: of the token sequences that cover them."""
        return sum(score.mass for score in self.scores)

    @property
    def slack(self) -> float:
        """What that may be larger by, in nats, for token sequences that were left out."""
        masses, missing = np.array([(one.mass, one.missing) for one in self.scores]).T
        return float((np.logaddexp(masses, missing) - masses).sum())

    @property
    def missing(self) -> float:
        """Log of what their mass may be larger by; −inf where nothing was left out."""
        return (
            self.mass + self.slack + math.log(-math.expm1(-self.slack)) if self.slack else -math.inf
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as `--json` prints them: an evaluation's, without those of tokens."""
        return {
            "model": self.model,
            "law": self.law,
            "bits_per_byte": self.bits_per_byte,
            "perplexity": None,
            "tokens": None,
            "bytes": self.bytes,
            "stderr": self.stderr,
            "documents": self.documents,
            "empty_documents": self.empty_documents,
            "lossy_documents": 0,
            "lossy_bytes": 0,
            "mass": self.mass,
            "missing": max(self.missing, IMPOSSIBLE),
            "window": self.window,
            "begin": self.begin,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, eq=False)
class ByteReport:
    """A model asked for the bytes of documents.

    Args:
        result: Costs per document, and the figures that follow.
        score: What it says of each byte of a single text that was given as such, else None.
        settings: What was asked for, resolved.
    """

    result: ByteEvaluation
    score: Score | None
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as `--json` prints it, in the form of an evaluation's report."""
        return {
            "results": [self.result.to_dict()],
            "against": None,
            "score": None if self.score is None else self.score.to_dict(),
            "settings": self.settings,
        }


def score_bytes(
    model: str | Path,
    text: str | bytes | None = None,
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    window: int | None = None,
    epsilon: float = 0.0,
    bos: bool = True,
    progress: bool = False,
    **loading: Any,
) -> ByteReport:
    """Measure how well a model predicts text byte by byte.

    Args:
        model: A model folder or hub name.
        text: One text; bytes are taken as they are.
        file: A file in its place: plain text is one document, JSON lines hold one in each `text`.
        limit: Read only so many documents of the file.
        window: Tokens of a window; None takes the length the model was made for.
        epsilon: Token sequences with at most this part of the mass are not followed further.
        bos: Whether documents start after the token that begins texts.
        progress: Show a bar on stderr.
        loading: Law, horizon, device and so on: see `ByteLM.from_pretrained`.

    Raises:
        UsageError: There is no text, or there are two; or the window is below 2 tokens, or longer
            than the model.
        TokxferError: In one sentence, what is wrong with the text or with the model.
    """
    if window is not None:
        check_window(window)
    if text is not None and not text:
        raise UsageError("There is no text to score.", "Give a text that is not empty.")
    documents: list[str | bytes] = [] if text is None else [text]
    if file is not None and not documents:
        documents += read_documents(file, limit, keep_empty=True)
    elif file is not None or not documents:
        raise UsageError("Scoring takes one text, or one file.")
    lm = ByteLM.from_pretrained(model, **loading)
    result = score_bytes_model(
        lm, documents, name=str(model), window=window, epsilon=epsilon, bos=bos, progress=progress
    )
    return ByteReport(
        result=result,
        score=result.scores[0] if file is None else None,
        settings={
            "text": None if file is None else [str(file)],
            "limit": limit,
            "window": window,
            "law": lm.law,
            "horizon": lm.horizon if lm.law == "all" else None,
            "epsilon": epsilon,
            "device": str(lm.model.device),
            "dtype": str(lm.model.dtype).removeprefix("torch."),
            "revision": loading.get("revision"),
            "versions": {name: version(name) for name in ("tokxfer", "torch", "transformers")},
        },
    )


def score_bytes_model(
    lm: ByteLM,
    documents: Iterable[str | bytes],
    *,
    name: str = "model",
    window: int | None = None,
    epsilon: float = 0.0,
    bos: bool = True,
    progress: bool = False,
) -> ByteEvaluation:
    """Measure how well a model, already asked for bytes, predicts documents.

    Every document starts afresh; its end is not predicted. Texts longer than a window are read in
    windows that overlap by half. `ByteLM.bits_per_byte` gives the same figure.

    Args:
        lm: The model.
        documents: Texts; bytes are taken as they are.
        name: What it is called.
        window: Tokens of a window; None takes the length the model was made for.
        epsilon: Token sequences with at most this part of the mass are not followed further.
        bos: Whether documents start after the token that begins texts.
        progress: Show a bar on stderr.

    Raises:
        UsageError: Epsilon is no part of one, or the window below 2 tokens or longer than the
            model.
        TokxferError: There is no text, or the model gives one probability zero.
    """
    if not 0 <= epsilon < 1:
        raise UsageError(f"Epsilon must be 0 or more and less than 1, not {epsilon}.")
    longest = lm.window(window, name)
    started = time.perf_counter()
    given = [*documents]
    texts = [text for text in given if text]
    if not texts:
        raise TokxferError("There is no text to score.", "Give a text that is not empty.")
    before = lm.context(None if bos else Beginning())
    data = [lm.begun(text, before) for text in texts]
    with progress_bar(sum(map(len, data)), Path(name).name, "B", progress) as bar:
        scores = score_texts(lm, data, before, epsilon=epsilon, window=window, progress=bar.update)
    zero = sum(bool((score.nats <= IMPOSSIBLE).any()) for score in scores)
    if zero:
        raise TokxferError(
            f"{name} gives {zero:,} of {len(scores):,} documents probability zero.",
            "Its tokenizer has no tokens for such text, or changes it.",
        )
    sizes = [len(text if isinstance(text, bytes) else text.encode()) for text in texts]
    return ByteEvaluation(
        model=name,
        scores=tuple(scores),
        document_bytes=np.array(sizes, dtype=np.int64),
        empty_documents=len(given) - len(texts),
        law=lm.law,
        window=longest,
        begin=before[0] if before else None,
        seconds=time.perf_counter() - started,
    )
