"""The pairs of `distill.py` and `recovery.py`: teacher, student as it comes, and their text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import gap_text
from transplant_runs import digest, fingerprint

from tokxfer.workflows.transplant import transplant

MODELS = Path(__file__).resolve().parents[2] / "models"
BYTES = "bytes"  # a donor: the student reads bytes
TIMES = 4  # bytes that stand for one token


@dataclass(frozen=True)
class Pair:
    """A teacher and a student.

    Args:
        teacher: Folder of the teacher.
        base: Folder of the student, or of what becomes the student.
        donor: Folder that brings the student's tokenizer, or "bytes"; None for the base's own.
        text: What it is trained and judged on: "English" or "code".
        method: Initializer of the student's new rows.
    """

    teacher: Path
    base: Path
    donor: Path | str | None
    text: str = "English"
    method: str = "blend"

    @classmethod
    def of(cls, name: str, method: str = "blend") -> Pair:
        """The pair of a specification TEACHER:STUDENT[:code] or TEACHER:BASE+DONOR[:code]."""
        teacher, student, text = [*name.split(":"), ""][:3]
        base, donor = [*student.split("+"), ""][:2]
        brings = donor if donor in ("", BYTES) else found(donor)
        return cls(found(teacher), found(base), brings or None, text or "English", method)

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.donor is None:
            return f"{self.teacher.name} → {self.base.name}"
        donor = self.donor if isinstance(self.donor, str) else self.donor.name
        if self.teacher == self.base:
            return f"{self.base.name} ← {donor}"
        return f"{self.teacher.name} → {self.base.name} ← {donor}"

    @property
    def words(self) -> str:
        """What files are called."""
        told = self.name.replace(" → ", "--").replace(" ← ", "+")
        return f"{told}--{self.text}" + ("" if self.donor in (None, BYTES) else f"--{self.method}")

    @property
    def times(self) -> int:
        """How many tokens of the student's stand for one of a subword model."""
        return TIMES if self.donor == BYTES else 1

    def key(self) -> list[object]:
        """What decides teacher and student."""
        donor = fingerprint(self.donor) if isinstance(self.donor, Path) else self.donor
        return [fingerprint(self.teacher), fingerprint(self.base), donor, self.method]

    def student(self, cache: Path) -> Path:
        """The student's folder as it comes; a transplant is made once.

        Raises:
            TokxferError: The transplant is not possible.
        """
        if self.donor is None:
            return self.base
        donor = self.donor if isinstance(self.donor, str) else self.donor.name
        kind = "" if donor == BYTES else f"--{self.method}"
        target = cache / f"{self.base.name}+{donor}{kind}--{digest(self.key()[1:])[:12]}"
        if not target.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            told = {} if donor == BYTES else {"method": self.method}
            transplant(self.base, self.donor, target, device="cpu", offline=True, **told)
        return target


def found(name: str) -> Path:
    """A model by its name in models/ or by its folder.

    Raises:
        SystemExit: There is none.
    """
    for folder in (MODELS / name, Path(name)):
        if (folder / "config.json").is_file():
            return folder
    sys.exit(f"There is no model {name!r} in {MODELS} or by that path.")


def read_texts(
    names: Iterable[str], corpus: Path, held_out: Path, cache: Path, *, small: bool
) -> dict[str, gap_text.Text]:
    """The texts asked for by name; a few held-out documents instead where `small`.

    Raises:
        SystemExit: The corpus is not there.
    """
    names = sorted(set(names))
    if small:
        return dict.fromkeys(names, gap_text.small(held_out, 2))
    if not corpus.is_dir():
        sys.exit(
            f"There is no training text in {corpus}: name the folder that holds corpus/ with "
            "TOKXFER_SHARED."
        )
    return {
        name: gap_text.code(corpus, cache / "text")
        if name == "code"
        else gap_text.english(corpus, held_out)
        for name in names
    }
