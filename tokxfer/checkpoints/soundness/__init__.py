"""The nine points of a sound model folder.

Each point was seen to go wrong in practice. A point that cannot be judged, because there is nothing
to judge or because an earlier point failed, says so and counts as passed: the earlier one did not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokxfer.checkpoints.soundness.card import check_card
from tokxfer.checkpoints.soundness.inspection import Inspection, NotApplicable, Unsound
from tokxfer.checkpoints.soundness.running import check_round_trip
from tokxfer.checkpoints.soundness.tokens import (
    check_post_processor,
    check_special_ids,
    check_tokenizer_config,
)
from tokxfer.checkpoints.soundness.weights import (
    check_files,
    check_tying,
    check_vocabulary_size,
    check_weight_map,
)
from tokxfer.errors import FolderError, TokxferError


@dataclass(frozen=True)
class Check:
    """One point of a sound model folder.

    Attributes:
        name: Short and stable.
        ok: Whether the point holds, or does not apply.
        detail: What was seen, for people.
    """

    name: str
    ok: bool
    detail: str

    def to_dict(self) -> dict[str, object]:
        """What `--json` prints of it."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


NAMES = (
    "weights-complete",
    "vocabulary-size",
    "tying",
    "special-ids",
    "tokenizer-config",
    "post-processor",
    "weight-map",
    "round-trip",
    "model-card",
)
"""The nine points, in the order in which they are reported."""

# In the order in which they are judged: name, what must hold before, how it is judged.
_CHECKS: tuple[tuple[str, tuple[str, ...], Callable[[Inspection], str]], ...] = (
    ("weights-complete", (), check_files),
    ("weight-map", ("weights-complete",), check_weight_map),
    ("vocabulary-size", ("weights-complete", "weight-map"), check_vocabulary_size),
    ("tying", ("weights-complete", "weight-map"), check_tying),
    ("tokenizer-config", (), check_tokenizer_config),
    ("special-ids", ("weights-complete",), check_special_ids),
    ("post-processor", ("tokenizer-config",), check_post_processor),
    (
        "round-trip",
        ("weights-complete", "weight-map", "vocabulary-size", "tying", "tokenizer-config"),
        check_round_trip,
    ),
    ("model-card", (), check_card),
)


def validate_folder(
    path: str | Path, *, trust_remote_code: bool = False, memory_budget: int | None = None
) -> tuple[Check, ...]:
    """Judge the nine points of a sound model folder; a broken folder fails points, it never raises.

    Args:
        path: A folder on this machine.
        trust_remote_code: Whether Python code that comes with it may run.
        memory_budget: Bytes that loading the model may take; None allows half of what is free.

    Returns:
        Nine checks, always in the same order.

    Raises:
        FolderError: There is no such folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FolderError(f"{folder} {kind}.", "Give the path of a model folder.")
    inspection = Inspection(folder, trust_remote_code, memory_budget)
    found: dict[str, Check] = {}
    for name, needed, judge in _CHECKS:
        broken = [other for other in needed if not found[other].ok]
        if broken:
            found[name] = Check(name, True, f"Not judged, because {broken[0]} failed.")
        else:
            found[name] = _judged(name, judge, inspection)
    return tuple(found[name] for name in NAMES)


def _judged(name: str, judge: Callable[[Inspection], str], inspection: Inspection) -> Check:
    try:
        return Check(name, True, judge(inspection))
    except NotApplicable as reason:
        return Check(name, True, str(reason))
    except Unsound as reason:
        return Check(name, False, str(reason))
    except TokxferError as failure:
        return Check(name, False, failure.message)
    except MemoryError:
        return Check(name, True, "Not judged: out of memory.")
    except Exception as failure:  # whatever a broken folder provokes is a finding about the folder
        lines = str(failure).strip().splitlines() or ["no reason given"]
        return Check(name, False, f"{type(failure).__name__}: {lines[0]}")
