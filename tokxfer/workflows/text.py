"""Text files as documents: plain text or JSON lines, compressed or not."""

from __future__ import annotations

import importlib
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from tokxfer.errors import TokxferError

JSON_LINES = {".jsonl", ".ndjson", ".json"}
BATCH_CHARACTERS = 1_000_000
Record = TypeVar("Record")
JSON_TYPES = {
    dict: "an object",
    list: "a list",
    int: "a number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    type(None): "null",
}


def read_documents(
    path: str | Path, limit: int | None = None, *, keep_empty: bool = False
) -> Iterator[str]:
    """Yield the documents of one file: see `read_records`."""
    yield from read_records(path, text_field, limit, keep_empty=keep_empty)


def read_records(
    path: str | Path,
    take: Callable[[Path, int, bytes], Record],
    limit: int | None = None,
    *,
    keep_empty: bool = False,
) -> Iterator[Record]:
    """Yield the documents of one file, exactly as they stand in it; empty ones are left out.

    `.jsonl`, `.ndjson` and `.json` hold one JSON object a line with a `text` field; any other file
    is one document. A further suffix `.xz`, `.gz`, `.bz2` or `.zst` says that it is compressed.

    Args:
        path: The file.
        take: What a line of JSON, with its file and number, holds: `text_field`, or another that
            gives strings, or things that say by `bool` and `strip` whether they hold text.
        limit: Stop after this many documents that are not empty; None reads them all.
        keep_empty: Yield empty documents too, for callers that count them.

    Raises:
        TokxferError: The file is missing, damaged or not UTF-8, there is nothing but white space
            in it, or a line of it is not an object with a text; the sentence names file and line.
    """
    path = Path(path)
    kind = Path(path.stem).suffix if path.suffix.lower() in OPENERS else path.suffix
    lines = kind.lower() in JSON_LINES
    count, blank = 0, True
    try:
        with open_bytes(path) as stream:
            documents: Iterator[Any] = (
                json_lines(path, stream, take) if lines else whole_text(path, stream)
            )
            while count != limit and (text := next(documents, None)) is not None:
                count += bool(text)
                blank &= not text.strip()
                if text or keep_empty:
                    yield text
    except FileNotFoundError:
        raise TokxferError(f"{path} does not exist.", "Check the path of the text.") from None
    except IsADirectoryError:
        raise TokxferError(f"{path} is a folder, not a text file.") from None
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as failure:
        if isinstance(failure, OSError) and failure.errno is not None:
            raise
        raise TokxferError(f"{path} is damaged: it cannot be decompressed ({failure}).") from None
    if not count and limit != 0:
        raise TokxferError(f"{path} is empty: there is no text in it.")
    if blank and limit != 0:
        raise TokxferError(f"{path} holds nothing but white space.", "Give a text with words.")


def batches(documents: Iterable[str]) -> Iterator[list[str]]:
    """Gather documents up to about a million characters at a time."""
    batch: list[str] = []
    characters = 0
    for text in documents:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def read_whole(path: str | Path) -> str:
    """The whole of a plain file as text, just as it stands there.

    Raises:
        TokxferError: It is not UTF-8.
    """
    path = Path(path)
    with open_plain(path) as stream:
        return next(whole_text(path, stream))


def whole_text(path: Path, stream: BinaryIO) -> Iterator[str]:
    """Yield the file as one document."""
    content = stream.read()
    try:
        text = content.decode()
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise not_utf8(path, line) from None
    yield text


def json_lines(
    path: Path, stream: BinaryIO, take: Callable[[Path, int, bytes], Record]
) -> Iterator[Record]:
    """Yield what every line that is not blank holds."""
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        yield take(path, number, line)


def text_field(path: Path, number: int, line: bytes) -> str:
    """The `text` of one line of JSON, checked to be text that UTF-8 can hold."""
    record = parsed(path, number, line)
    text = record.get("text") if isinstance(record, dict) else None
    return checked(path, number, text, "text", record)


def parsed(path: Path, number: int, line: bytes) -> Any:
    """One line of JSON."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError:
        raise not_utf8(path, number) from None
    except json.JSONDecodeError as failure:
        raise TokxferError(
            f"{path}, line {number}, is not JSON: {failure.msg}.",
            'JSON lines hold one object a line, such as {"text": "…"}.',
        ) from None


def checked(path: Path, number: int, text: Any, field: str, record: Any) -> str:
    """A field of a line, if it is text that UTF-8 can hold."""
    if not isinstance(text, str):
        raise TokxferError(
            f'{path}, line {number}, has no "{field}" that is a string ({instead(record)}).'
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TokxferError(f"{path}, line {number}, holds half of a surrogate pair.") from None
    return text


def instead(record: Any) -> str:
    """What a line of JSON holds where an object with a text was looked for."""
    if not isinstance(record, dict):
        return f"found: {JSON_TYPES[type(record)]}"
    if "text" in record:
        return f"it is {JSON_TYPES[type(record['text'])]}"
    return f"found: {', '.join(record) or 'no fields'}"


def not_utf8(path: Path, line: int) -> TokxferError:
    """The failure of a file in another encoding."""
    return TokxferError(f"{path}, line {line}, is not UTF-8.", "Convert it, e.g. with iconv.")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading bytes, decompressed by its suffix."""
    return OPENERS.get(path.suffix.lower(), open_plain)(path)


def open_plain(path: Path) -> BinaryIO:
    """Open a file that is not compressed."""
    return path.open("rb")


def open_compressed(module: str) -> Callable[[Path], BinaryIO]:
    """Open files with one of the compression modules of the standard library."""
    return lambda path: cast(BinaryIO, importlib.import_module(module).open(path))


def open_zstandard(path: Path) -> BinaryIO:
    """Open a `.zst` file where Python or an installed package can read it."""
    for module in ("compression.zstd", "zstandard", "pyzstd"):
        try:
            return cast(BinaryIO, importlib.import_module(module).open(path))
        except ImportError:
            continue
    raise TokxferError(f"{path} needs a Zstandard reader.", "pip install zstandard")


OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    ".xz": open_compressed("lzma"),
    ".gz": open_compressed("gzip"),
    ".bz2": open_compressed("bz2"),
    ".zst": open_zstandard,
}
