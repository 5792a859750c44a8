"""What some methods of a comparison need beside the models: a text encoder, a text to fit on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokxfer.embeddings import Method, uses
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.corpus import Files, TextCorpus
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.fitting import check_gensim

SHARE = 1 / 3  # of the documents that are split off where no training text is given
LONG = 80
ADVICE = "Give a training text: --train-text FILE."


@dataclass(frozen=True)
class Helpers:
    """What there is for methods that need more than the models.

    Attributes:
        encoder: The text encoder; None where no method needs it, or none is installed.
        corpus: The text to fit on; None likewise.
        scored: The documents that are scored; nothing was fitted on them.
        split_off: How many were taken from the text to be fitted on.
        left_out: How many were left out of the training text because they are scored, or share
            long lines with what is.
        failures: Why something that a method needs is not there, by its name in `needs`.
        named: Which of "encoder" and "text" the caller named; a method that could do without gets
            it only then, so that what it makes does not depend on what else is compared.
    """

    encoder: TextEncoder | None
    corpus: TextCorpus | None
    scored: list[str]
    split_off: int
    left_out: int
    failures: dict[str, TokxferError]
    named: frozenset[str] = frozenset()

    def check(self, method: Method) -> None:
        """Raise the reason why something that a method gets is not there."""
        for need in sorted(self.gets(method) & self.failures.keys()):
            raise self.failures[need]

    def gets(self, method: Method) -> frozenset[str]:
        """What a method is given: what it needs, and what it wants and the caller named."""
        return method.needs | {name for name in self.named if uses(method, name)}

    def of(self, method: Method) -> dict[str, Any]:
        """The encoder and the corpus that a method gets, for `pose`."""
        gets = self.gets(method)
        return {
            "encoder": self.encoder if "encoder" in gets else None,
            "corpus": self.corpus if "text" in gets else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """For the settings of a report."""
        return {
            "encoder": None if self.encoder is None else self.encoder.to_dict(),
            "train_text": None if self.corpus is None else self.corpus.to_dict(),
            "documents_split_off": self.split_off,
            "documents_left_out": self.left_out,
        }


def find_helpers(
    methods: Sequence[Method],
    documents: list[str],
    encoder: str | Path | TextEncoder | None,
    train_text: Files | None,
    *,
    seed: int,
    progress: bool,
    probe: bool = False,
    **options: Any,
) -> Helpers:
    """Open the encoder and the training text that some method needs, and say what is not there.

    Args:
        methods: Those to be compared.
        documents: The text that they are scored on.
        encoder: A text encoder's name, or one ready made; None takes the packaged one.
        train_text: Files to fit on; None splits documents off.
        seed: Draws the documents that are split off.
        progress: Show bars on stderr.
        probe: Whether results are trained on text, too.
        options: Of `TextEncoder.open`.

    Raises:
        UsageError: A single document is to be trained on and scored.
        UsageError: An encoder or a training text is named, and no method has a use for it.
        TokxferError: The encoder or the training text is named, and cannot be read.
    """
    given = train_text is not None and train_text != () and train_text != []
    named = {"encoder"} if encoder is not None else set()
    named |= {"text"} if given else set()
    for need, complaint, hint in (
        ("encoder", "No method of these needs a text encoder.", "Leave --encoder out."),
        ("text", "No method of these is fitted on text.", "Leave --train-text out."),
    ):
        used = any(uses(method, need) for method in methods) or (need == "text" and probe)
        if need in named and not used:
            raise UsageError(complaint, hint)
    failures: dict[str, TokxferError] = {}
    found = None
    if "encoder" in named or any("encoder" in method.needs for method in methods):
        try:
            found = (
                encoder
                if isinstance(encoder, TextEncoder)
                else TextEncoder.open(encoder, progress=progress, **options)
            )
        except UsageError as failure:  # nothing is installed, and nothing was named
            failures["encoder"] = failure
    corpus, scored, left_out = None, documents, 0
    if given or any("text" in method.needs for method in methods):
        try:
            check_gensim()
        except UsageError as failure:
            failures["text"] = failure
        wanted = "text" not in failures
    else:
        wanted = False
    try:
        if (probe or wanted) and given and train_text is not None:
            corpus, left_out = without(TextCorpus.open(train_text), documents)
        elif probe or wanted:
            scored, training = divide(documents, seed)
            corpus = TextCorpus(training)
    except UsageError as failure:
        if probe:
            raise
        failures["text"] = failure
    if corpus is not None:
        corpus.progress = progress
    split_off = len(documents) - len(scored)
    return Helpers(found, corpus, scored, split_off, left_out, failures, frozenset(named))


def divide(documents: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Split a random third of the documents off, to be fitted on; the others are scored.

    A document that occurs several times goes to one side as a whole.

    Returns:
        Documents to score, and documents to fit on, both in their order.

    Raises:
        UsageError: There is a single document.
    """
    distinct = list(dict.fromkeys(documents))
    if len(distinct) < 2:
        raise UsageError(
            "What one learns from is not scored, and a single document cannot be split.",
            ADVICE,
        )
    order = np.random.default_rng(seed).permutation(len(distinct))
    taken = {distinct[place] for place in order[: max(1, round(SHARE * len(distinct)))]}
    return (
        [text for text in documents if text not in taken],
        [text for text in documents if text in taken],
    )


def without(corpus: TextCorpus, documents: Sequence[str]) -> tuple[TextCorpus, int]:
    """A training text without what is scored, and how many documents were left out for it.

    That is every document that is scored too, or has a line of `LONG` characters or more in common
    with one that is: a text is often there as a whole, and cut into documents. What is scored stays
    the same whatever is trained on, so that comparisons can be compared.

    Raises:
        TokxferError: Nothing is left.
    """
    scored = {*documents, *(line for text in documents for line in long_lines(text))}
    kept = [
        text
        for text in corpus.documents
        if text not in scored and scored.isdisjoint(long_lines(text))
    ]
    if not kept:
        raise TokxferError(
            "Every document of the training text is scored too, at least in part, so that none may "
            "be fitted on.",
            "Give another training text, or leave it out: some documents are then split off.",
        )
    left_out = len(corpus.documents) - len(kept)
    return (TextCorpus(kept, corpus.files) if left_out else corpus), left_out


def long_lines(text: str) -> list[str]:
    """The lines of a text that are too long to occur in two texts by chance."""
    return [line for line in map(str.strip, text.splitlines()) if len(line) >= LONG]
