"""What a student is trained on: texts and chats, read from files and folders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.errors import TokxferError
from tokxfer.workflows.text import JSON_LINES, OPENERS, checked, parsed, read_records

PLAIN = {".txt", ".text", ".md"}


@dataclass(frozen=True)
class Chat:
    """Messages of a chat, to be rendered by each model's own template.

    Attributes:
        messages: Role and content of each, in order.
    """

    messages: tuple[Mapping[str, str], ...]

    def strip(self) -> str:
        """What the messages say, without white space around it."""
        return "".join(message["content"] for message in self.messages).strip()

    def __bool__(self) -> bool:
        """Whether there is any message."""
        return bool(self.messages)


Example = str | Chat


def read_examples(
    paths: str | Path | Sequence[str | Path], limit: int | None = None
) -> list[Example]:
    """Texts and chats of files, and of all files of folders, in order.

    Plain files are one text each; JSON lines hold a `text`, or `messages` with `role` and
    `content`. Compressed files are read as `evaluate` reads them. Empty ones are left out.

    Args:
        paths: Files or folders. Of a folder, whatever ends in .txt, .md, .jsonl, .json or .ndjson,
            perhaps compressed, by name, its own folders included.
        limit: So many of each file at most.

    Raises:
        TokxferError: A file is missing, damaged, empty or no UTF-8, a line is neither text nor
            chat, or a folder holds no such file.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: list[Example] = []
    for path in paths:
        for file in files_of(Path(path)):
            found += read_records(file, example, limit)
    return found


def files_of(path: Path) -> Iterable[Path]:
    """A file itself, or those of a folder that hold text.

    Raises:
        TokxferError: The folder holds none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and holds_text(file))
    if not files:
        raise TokxferError(
            f"The folder {path} holds no text.",
            f"Files end in {', '.join(sorted(PLAIN | JSON_LINES))}, perhaps compressed.",
        )
    return files


def holds_text(file: Path) -> bool:
    """Whether a file's name says that it holds text."""
    suffix = Path(file.stem).suffix if file.suffix.lower() in OPENERS else file.suffix
    return suffix.lower() in PLAIN | JSON_LINES


def example(path: Path, number: int, line: bytes) -> Example:
    """The text or the chat of one line of JSON.

    Raises:
        TokxferError: It holds neither.
    """
    record: Any = parsed(path, number, line)
    if not isinstance(record, dict) or "messages" not in record:
        text = record.get("text") if isinstance(record, dict) else None
        return checked(path, number, text, "text", record)
    messages = record["messages"]
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise TokxferError(
            f'{path}, line {number}: "messages" is no list of objects.',
            'Write [{"role": "user", "content": "…"}, …].',
        )
    return Chat(
        tuple(
            {
                field: checked(path, number, one.get(field), field, one)
                for field in ("role", "content")
            }
            for one in messages
        )
    )


def set_apart(examples: Sequence[Example], share: float = 0.05) -> tuple[list[Example], list[str]]:
    """Examples to train on, and texts to judge by: the last ones, which are not trained on.

    Chats are never judged by: bits per byte are of plain text.

    Args:
        examples: At least two texts, if any are to be set apart.
        share: Of the texts, rounded up.

    Raises:
        TokxferError: There is one text only.
    """
    texts = [at for at, one in enumerate(examples) if isinstance(one, str)]
    if len(texts) < 2:
        raise TokxferError(
            f"The data hold {len(texts)} text(s), so none can be set apart to judge by.",
            "Name a held-out text with --eval-text, or give more documents.",
        )
    last = set(texts[-max(1, math.ceil(share * len(texts))) :])
    judged = [one for at, one in enumerate(examples) if at in last and isinstance(one, str)]
    return [one for at, one in enumerate(examples) if at not in last], judged
