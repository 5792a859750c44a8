"""From files to a `ByteVocabulary`: the content is read, the tokenizer is loaded when needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokxfer.errors import FolderError, UnsupportedError, VocabularyError
from tokxfer.vocabulary.digits import digit_probe
from tokxfer.vocabulary.roles import find_roles, marker_role, model_unknown
from tokxfer.vocabulary.spelling import spelling_of
from tokxfer.vocabulary.vocabulary import ByteVocabulary, Kind, Source

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DECLARING = ("config.json", "generation_config.json", "special_tokens_map.json")
SLOW_FILES = (
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json",
    "merges.txt", "tekken.json",
)  # fmt: skip
BRACKETED = re.compile(r"[<\[].*[>\]]")


def read_vocabulary(path: str | Path) -> ByteVocabulary:
    """Read a vocabulary from a model folder, a bare tokenizer folder or a `tokenizer.json`.

    Nothing but that file and the small JSON files beside it is read, and no code is run.

    Args:
        path: A folder with `tokenizer.json` in it, or that file itself under any name.

    Raises:
        FolderError: There is no such path, or no tokenizer in it.
        VocabularyError: The tokenizer is damaged.
        UnsupportedError: It has no fast form, or its bytes cannot be known.
    """
    return from_path(Path(path))


def from_path(place: Path) -> ByteVocabulary:
    """Read a folder or a `tokenizer.json`; declared roles are read beside a file of that name."""
    if not place.exists():
        raise FolderError(f"{place} does not exist.", "Check the path.")
    path = place / "tokenizer.json" if place.is_dir() else place
    if not path.exists():
        raise slow_only(place)
    content = parse(path)
    config = declarations(path.parent) if path.name == "tokenizer.json" else {}
    return build(content, config, name=str(place), path=path)


def from_text(text: str, name: str, config: Mapping[str, Any]) -> ByteVocabulary:
    """Read the content of a `tokenizer.json`, with roles declared in `config`."""
    return build(json.loads(text), config, name=name, text=text)


def content_of(source: Source) -> dict[str, Any]:
    """The content of a tokenizer that was read, parsed again: it is not kept in memory."""
    if source.path is not None:
        return parse(source.path)
    content: dict[str, Any] = json.loads(source.text or "")
    return content


def slow_only(folder: Path) -> FolderError | UnsupportedError:
    """The failure of a folder without `tokenizer.json`, saying what would mend it."""
    found = [name for name in SLOW_FILES if (folder / name).exists()]
    if declarations(folder).get("auto_map"):
        return UnsupportedError(
            f"{folder} has no tokenizer.json; its tokenizer is Python code of its own.",
            "Save a fast form of it: a tokenizer.json of the tokenizers library.",
        )
    if found:
        return UnsupportedError(
            f"{folder} has no tokenizer.json, only a slow tokenizer ({', '.join(found)}).",
            'Convert it once: python -c "from transformers import AutoTokenizer as T; '
            f"T.from_pretrained('{folder}').save_pretrained('{folder}')\"",
        )
    return FolderError(f"{folder} holds no tokenizer: there is no tokenizer.json in it.")


def parse(path: Path) -> dict[str, Any]:
    """Parse a JSON file that must hold an object."""
    try:
        content = json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError) as failure:
        raise VocabularyError(f"{path} is damaged: it is not JSON ({failure}).") from None
    if not isinstance(content, dict):
        raise VocabularyError(f"{path} is not a JSON object.")
    return content


def declarations(folder: Path) -> dict[str, Any]:
    """What a folder says of its special tokens: numbers of the configs, names above them."""
    merged: dict[str, Any] = {}
    for name in DECLARING:
        if (folder / name).exists():
            content = parse(folder / name)
            for part in (content.get("text_config") or {}, content):
                numbers = {key: part[key] for key in part if key.endswith(("_token", "_token_id"))}
                merged |= {key: value for key, value in numbers.items() if value is not None}
    if (folder / "tokenizer_config.json").exists():
        content = parse(folder / "tokenizer_config.json")
        merged |= {key: value for key, value in content.items() if value is not None}
    if (folder / "chat_template.jinja").exists():
        merged["chat_template"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return merged


def load_tokenizer(source: Source) -> Tokenizer:
    """Load the fast tokenizer, without truncation and padding."""
    from tokenizers import Tokenizer

    try:
        loaded = (
            Tokenizer.from_file(str(source.path))
            if source.path is not None
            else Tokenizer.from_str(source.text or "")
        )
    except Exception as failure:  # tokenizers raises plain exceptions
        raise VocabularyError(f"{source.name} cannot be loaded: {failure}.") from failure
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def build(
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    name: str,
    path: Path | None = None,
    text: str | None = None,
) -> ByteVocabulary:
    """Build a vocabulary from parsed content at `path` or in `text`.

    Raises:
        VocabularyError: The content is not that of a `tokenizer.json`.
        UnsupportedError: Its tokens do not say which bytes they stand for.
    """
    try:
        return put_together(content, config, name, path, text)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as failure:
        raise VocabularyError(
            f"{name} is damaged: its tokenizer.json is not built as the tokenizers library builds "
            f"it ({type(failure).__name__}: {failure}).",
            "Save the tokenizer again, or download it again.",
        ) from failure


def put_together(
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    name: str,
    path: Path | None,
    text: str | None,
) -> ByteVocabulary:
    """Put bytes, kinds, names and roles together."""
    spelling = spelling_of(content, name)
    source = Source(
        name,
        path,
        text,
        normalizer=content.get("normalizer"),
        pre_tokenizer=content.get("pre_tokenizer"),
        digit_probe=digit_probe(content, spelling),
    )
    vocab = content["model"]["vocab"]
    ids: dict[str, int] = (
        dict(vocab)
        if isinstance(vocab, dict)
        else {piece[0]: place for place, piece in enumerate(vocab)}
    )
    model_names = len(ids)
    added = place_added(content.get("added_tokens") or [], ids)
    special = {token: str(entry["content"]) for token, entry in added.items()}
    roles = find_roles(content, config, ids, special)
    size = 1 + max(ids.values(), default=-1)
    names, tokens = [""] * size, [b""] * size
    kinds = np.full(size, Kind.UNUSED, dtype=np.uint8)
    for place, (spelled, token) in enumerate(ids.items()):
        names[token] = spelled
        in_model = place < model_names
        tokens[token] = spelling.bytes_of(spelled) if in_model else spelling.added_bytes(spelled)
        kinds[token] = Kind.BYTE if in_model and spelling.is_byte(spelled) else Kind.NORMAL
    for token, entry in added.items():
        kinds[token] = Kind.SPECIAL if entry.get("special") else Kind.ADDED
    unknown = model_unknown(content, ids)
    for token in {*roles.values(), *unknown}:
        if token in added or token in unknown or BRACKETED.fullmatch(names[token]):
            kinds[token] = Kind.SPECIAL
    for token in np.flatnonzero(kinds == Kind.SPECIAL).tolist():
        tokens[token] = names[token].encode()
    kinds[[not spelled_bytes for spelled_bytes in tokens]] = Kind.UNUSED
    template = config.get("chat_template", "")
    for token in np.flatnonzero(kinds == Kind.SPECIAL).tolist():
        if token not in roles.values():
            roles[marker_role(names[token], template)] = token
    kinds.setflags(write=False)
    return ByteVocabulary(tuple(tokens), kinds, tuple(names), roles, spelling, source)


def place_added(
    entries: list[Mapping[str, Any]], ids: dict[str, int]
) -> dict[int, Mapping[str, Any]]:
    """Give every added token its id, as loading does: the model's own, else the next free number.

    The number in the file is not heeded: the tokenizers library numbers them anew. `ids` is
    extended by those that the model does not have.
    """
    placed: dict[int, Mapping[str, Any]] = {}
    following = len(ids)
    for entry in entries:
        name = str(entry["content"])
        if not name:
            continue
        if name not in ids:
            ids[name] = following
            following += 1
        placed[ids[name]] = entry
    return placed
