"""The text of `gap.py`: documents to train on, to stop by and to judge by, none of them twice."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from transplant_runs import digest

from reference import data, recipes
from tokxfer.checkpoints import file_hash
from tokxfer.workflows.text import read_documents

LENGTH = 4000  # characters of a development document, and of one cut from a long file
DEVELOP = 24_000  # bytes
FILES = 20  # code files to judge by


@dataclass(frozen=True)
class Text:
    """Text of one domain.

    Attributes:
        name: The domain.
        pool: Documents to train on and to stop by.
        judged: Documents that results are measured on, and nothing else.
        files: A hash of the files that the pool comes from.
        develop: Bytes of documents to stop by.
    """

    name: str
    pool: Sequence[str]
    judged: Sequence[str]
    files: str
    develop: int = DEVELOP

    @property
    def hash(self) -> str:
        """The SHA-256 of the documents to judge by."""
        return digest(list(self.judged))

    @property
    def bytes(self) -> int:
        return sum(len(text.encode()) for text in self.judged)

    def draw(self, seed: int) -> tuple[list[str], list[str]]:
        """Documents to train on in a random order, and others to stop by."""
        order = list(self.pool)
        random.Random(seed).shuffle(order)
        stop: list[str] = []
        while sum(len(text.encode()) for text in stop) < self.develop and len(order) > 1:
            stop.append(order.pop()[:LENGTH])
        return order, stop


def english(corpus: Path, held_out: Path) -> Text:
    """The English training text of the reference models; the repository's held-out documents."""
    files = [corpus / name for name in recipes.ENGLISH]
    pool = [text for file in files for text in data.documents(file)]
    judged = list(read_documents(held_out))
    return Text("English", pool, judged, origin(files))


def code(corpus: Path, work: Path) -> Text:
    """Python code that the code model was never trained on: a middle of some files, the others."""
    recipe = recipes.RECIPES["code-bytebpe"]
    files = [corpus / name for name in recipe.corpus]
    work.mkdir(parents=True, exist_ok=True)
    rest = [
        text
        for file in data.undrawn_documents(recipe, files, work)
        for text in data.documents(file)
    ]
    random.Random(0).shuffle(rest)
    judged = [middle(text) for text in rest[:FILES]]
    return Text("code", rest[FILES:], judged, origin(files))


def given(files: Sequence[Path], held_out: Path) -> Text:
    """Files of the user's own to train on."""
    pool = [text for file in files for text in read_documents(file)]
    judged = list(read_documents(held_out))
    return Text("given", pool, judged, origin(files))


def small(held_out: Path, judged: int) -> Text:
    """A few held-out documents to judge by, and the others to train on."""
    texts = list(read_documents(held_out))
    return Text("small", texts[judged:], texts[:judged], origin([held_out]), develop=LENGTH)


def middle(text: str) -> str:
    """`LENGTH` characters from the middle of a text, from the start of a line."""
    half = max(0, len(text) // 2 - LENGTH // 2)
    start = text.find("\n", half) + 1 if half else 0
    return text[start : start + LENGTH]


def origin(files: Sequence[Path]) -> str:
    """The hash of some files."""
    return digest([file_hash(file) for file in files])
