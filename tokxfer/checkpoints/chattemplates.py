"""Chat templates, wherever a tokenizer folder keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokxfer.checkpoints.folder import read_json

_MARKER = re.compile(r"<[|｜][^|｜<>{}'\"\s]+[|｜]>")


def read_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Every chat template by name ("default" is the usual one); files win over the config.

    Args:
        folder: Where `chat_template.jinja` and its kin may lie.
        config: The content of `tokenizer_config.json`.
    """
    templates: dict[str, str] = {}
    inline = config.get("chat_template")
    if isinstance(inline, str):
        templates["default"] = inline
    elif isinstance(inline, list):
        templates |= {entry["name"]: entry["template"] for entry in inline}
    for extra in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        templates[extra.stem] = extra.read_text(encoding="utf-8")
    if (folder / "chat_template.json").is_file():
        content = read_json(folder / "chat_template.json").get("chat_template")
        templates |= {"default": content} if isinstance(content, str) else {}
    if (folder / "chat_template.jinja").is_file():
        templates["default"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return templates


def write_templates(templates: Mapping[str, str], target: Path) -> None:
    """Write each template to the file where transformers 5 looks for it."""
    for name, text in templates.items():
        path = target / "chat_template.jinja"
        if name != "default":
            path = target / "additional_chat_templates" / f"{name}.jinja"
            path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def has_chat_template(folder: Path) -> bool:
    """Whether a folder brings a chat template, in a file or in its tokenizer's config."""
    file = folder / "tokenizer_config.json"
    return bool(read_templates(folder, read_json(file) if file.is_file() else {}))


def markers(template: str) -> set[str]:
    """What a template writes in the spelling of special tokens: `<|im_start|>`."""
    return set(_MARKER.findall(template))
