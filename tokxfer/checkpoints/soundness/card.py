"""Point 9: the model card's metadata parses, and points at no path of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tokxfer.checkpoints.soundness.inspection import Inspection, NotApplicable, Unsound

RELATIONS = ("finetune", "adapter", "merge", "quantized")
"""What the hub knows as `base_model_relation`."""
_LOCAL = re.compile(r"(/|~/|\.{1,2}/|[A-Za-z]:[\\/]|file:)\S+")
_PROSE = ("widget", "text", "messages", "inference")


def check_card(inspection: Inspection) -> str:
    """Point 9: base_model, library_name, tags and license can be read by the hub."""
    file = inspection.path / "README.md"
    if not file.is_file():
        raise NotApplicable("No model card (README.md): nothing to check.")
    metadata = read_metadata(file.read_text(encoding="utf-8"))
    if metadata is None:
        raise NotApplicable("The model card has no metadata: nothing to check.")
    for key, kinds in (("library_name", str), ("license", (str, list)), ("tags", list)):
        value = metadata.get(key)
        if value is not None and not isinstance(value, kinds):
            raise Unsound(f"The card's {key} is {value!r}, which the hub cannot read.")
    bases = metadata.get("base_model")
    listed = [bases] if isinstance(bases, str) else bases or []
    if not isinstance(listed, list) or not all(isinstance(base, str) for base in listed):
        raise Unsound(f"The card's base_model is {bases!r}, not a list of names.")
    relation = metadata.get("base_model_relation")
    if relation is not None and relation not in RELATIONS:
        raise Unsound(
            f"The card's base_model_relation is {relation!r}; the hub knows {', '.join(RELATIONS)}."
        )
    for key, text in _strings(metadata):
        if _LOCAL.fullmatch(text):
            raise Unsound(f"The card's {key} holds a path of the machine it was made on: {text}.")
    return f"Metadata parses: {', '.join(str(key) for key in metadata)}."


def read_metadata(card: str) -> dict[str, Any] | None:
    """The YAML block at the head of a card; None if it has none.

    Raises:
        Unsound: The block is no YAML mapping.
    """
    import yaml  # type: ignore[import-untyped]

    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", card, re.DOTALL)
    if match is None:
        if card.lstrip().startswith("---\n"):
            raise Unsound("The card's metadata block is not closed.")
        return None
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as failure:
        raise Unsound(f"The card's metadata is no YAML: {str(failure).splitlines()[0]}.") from None
    if not isinstance(metadata, dict):
        raise Unsound("The card's metadata is no list of names and values.")
    return metadata


def _strings(value: Any, key: str = "metadata") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _PROSE:
                yield from _strings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)
