"""Put a generated table where a page has left a place for it.

A place is a pair of comments; what stands between them belongs to the script:

    <!-- table:transplant -->
    | method | ratio |
    <!-- /table -->
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def replace_block(path: Path, name: str, markdown: str) -> None:
    """Write `markdown` between `<!-- table:name -->` and the next `<!-- /table -->` of a file.

    Args:
        path: The Markdown file, rewritten in place.
        name: The block's name.
        markdown: The new content, without the two comments.

    Raises:
        ValueError: The file does not hold exactly one block of that name.
    """
    text = path.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- table:{re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    text, count = block.subn(lambda found: f"{found[1]}{markdown.strip()}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{path} holds {count} blocks 'table:{name}'; expected one")
    path.write_text(text, encoding="utf-8")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]], align: str) -> str:
    """A Markdown table; `align` has one letter per column, `l` or `r`."""
    rule = ["--:" if side == "r" else "---" for side in align]
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
