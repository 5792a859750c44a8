"""What a transplant did, what it cost and what was checked."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokxfer.workflows.postconditions import PostCondition


@dataclass(frozen=True)
class TransplantReport:
    """The account of one transplant.

    Attributes:
        base, donor, out: The models by name, and the folder written ("" for one in memory).
        method: The initializer's name.
        options: Its options, the device, dtype and seed, as resolved.
        base_size, donor_size: Ids of the two vocabularies.
        rows_before, rows_after: Rows of the embedding matrix.
        tied: Whether one matrix serves as input and output.
        shared: Distinct byte strings both vocabularies have.
        rows: For each matrix, how many rows came about in which way.
        roles: The table of special tokens.
        chosen: For each matrix, what the method chose and measured.
        undertrained: For each matrix, how many rows training hardly touched, by model.
        digits_kept: How the donor's tokenizer came to cut numbers as the base's does; None where
            that was not asked for.
        versions: Of the packages it was made with.
        checks: The post-conditions, all of which held.
        warnings: What a user should know.
        seconds: Wall time.
        peak_bytes: Largest resident memory of the process so far.
    """

    base: str
    donor: str
    out: str
    method: str
    options: Mapping[str, Any]
    base_size: int
    donor_size: int
    rows_before: int
    rows_after: int
    tied: bool
    shared: int
    rows: Mapping[str, Mapping[str, int]]
    roles: tuple[Mapping[str, Any], ...]
    chosen: Mapping[str, Mapping[str, Any]]
    checks: tuple[PostCondition, ...]
    warnings: tuple[str, ...] = ()
    undertrained: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    digits_kept: Mapping[str, Any] | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0

    def replace(self, **changes: Any) -> TransplantReport:
        """The same report with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return dataclasses.asdict(self)


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
