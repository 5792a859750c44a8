"""`validate`: is this a sound model folder?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokxfer.checkpoints import Check


@dataclass(frozen=True)
class ValidationReport:
    """The nine points of a sound model folder, judged.

    Attributes:
        folder: The folder as given.
        checks: Nine checks, always in the same order.
    """

    folder: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every point holds."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"ok": self.ok, "checks": [check.to_dict() for check in self.checks]}


def validate(
    folder: str | Path, *, trust_remote_code: bool = False, memory_budget: int | None = None
) -> ValidationReport:
    """Judge whether a model folder is sound: nine points, each seen to go wrong in practice.

    Args:
        folder: A model folder on this machine.
        trust_remote_code: Whether Python code that comes with it may run.
        memory_budget: Bytes that loading the model may take (larger models are judged without
            being loaded); None allows half of what is free.

    Raises:
        FolderError: There is no such folder.

    Example:
        >>> report = validate("out")  # doctest: +SKIP
        >>> [check.name for check in report.checks if not check.ok]  # doctest: +SKIP
        []
    """
    from tokxfer.checkpoints import validate_folder

    checks = validate_folder(
        folder, trust_remote_code=trust_remote_code, memory_budget=memory_budget
    )
    return ValidationReport(str(folder), checks)
