"""Model cards: metadata that parses back, and what was done in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokxfer import __version__

TEMPLATE = Path(__file__).with_name("card.md.jinja")


def write_card(
    folder: Path,
    facts: Mapping[str, Any],
    licences: Mapping[str, str | None],
    template: Path = TEMPLATE,
) -> str | None:
    """Write `README.md` and return a warning where the parents' licences conflict.

    Args:
        folder: The new model's folder.
        facts: What the template names; parents appear by name, never by local path.
        licences: Licence identifiers of the parents, None where unknown.
        template: What the card says: a transplant's by default.
    """
    import jinja2

    known = sorted({licence for licence in licences.values() if licence})
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = environment.from_string(template.read_text(encoding="utf-8")).render(
        **facts,
        version=__version__,
        licence=known[0] if len(known) == 1 else "other" if known else None,
        licences=known,
    )
    (folder / "README.md").write_text(text + "\n", encoding="utf-8")
    if len(known) > 1:
        return f"The parents' licences differ ({', '.join(known)}): the result is under both."
    return None


def licence_of(folder: Path) -> str | None:
    """The licence that a folder's own card names; None without a card or a licence."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        licence = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    except (ValueError, YAMLError):  # not UTF-8, or metadata that does not parse
        return None
    value = getattr(licence, "license", None)
    return value if isinstance(value, str) else None
