"""From files to a `ByteVocabulary`: the content is read, the tokenizer is loaded when needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokxfer.errors import FolderError, UnsupportedError, VocabularyError
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
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def read_vocabulary(
    path: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> ByteVocabulary:
    """Read a vocabulary from a model folder, a bare tokenizer folder, a file or the model hub.

    Args:
        path: A folder with `tokenizer.json` in it, that file itself, or a name on the hub.
        revision: Git revision of a hub name.
        trust_remote_code: Run the folder's own Python code where it has no `tokenizer.json`.

    Raises:
        FolderError: There is no such folder or name, or no tokenizer in it.
        VocabularyError: The tokenizer is damaged.
        UnsupportedError: It has no fast form, or its bytes cannot be known.
    """
    place = Path(path)
    if not place.exists() and HUB_NAME.fullmatch(str(path)):
        place = fetch(str(path), revision)
    if trust_remote_code and place.is_dir() and not (place / "tokenizer.json").exists():
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(place, trust_remote_code=True)
        if hasattr(loaded, "backend_tokenizer"):
            text = loaded.backend_tokenizer.to_str()
            return from_text(text, str(place), declarations(place))
    return from_path(place)


def fetch(name: str, revision: str | None) -> Path:
    """Download the small tokenizer files of a name on the model hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", *DECLARING]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        raise FolderError(
            f"{name} is neither a folder here nor a name that the model hub gives out"
            f"{f' at revision {revision}' if revision else ''}.",
            "Check the path, or the name, the network and the access token.",
        ) from None


def from_path(place: Path) -> ByteVocabulary:
    """Read a folder or a `tokenizer.json`; declared roles are read beside a file of that name."""
    if not place.exists():
        raise FolderError(f"{place} does not exist.", "Check the path.")
    path = place / "tokenizer.json" if place.is_dir() else place
    if not path.exists():
        raise slow_only(place)
    content = parse(path)
    config = declarations(path.parent) if path.name == "tokenizer.json" else {}
    source = Source(str(place), path, None, content.get("normalizer"), content.get("pre_tokenizer"))
    return build(content, config, source)


def from_text(text: str, name: str, config: Mapping[str, Any]) -> ByteVocabulary:
    """Read the content of a `tokenizer.json`, with roles declared in `config`."""
    content = json.loads(text)
    source = Source(name, None, text, content.get("normalizer"), content.get("pre_tokenizer"))
    return build(content, config, source)


def slow_only(folder: Path) -> FolderError | UnsupportedError:
    """The failure of a folder without `tokenizer.json`, saying what would mend it."""
    found = [name for name in SLOW_FILES if (folder / name).exists()]
    if declarations(folder).get("auto_map"):
        return UnsupportedError(
            f"{folder} has no tokenizer.json; its tokenizer is Python code of its own.",
            "Allow it with --trust-remote-code, if you trust it.",
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


def build(content: Mapping[str, Any], config: Mapping[str, Any], source: Source) -> ByteVocabulary:
    """Put bytes, kinds, names and roles together."""
    spelling = spelling_of(content, source.name)
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
    for place, (name, token) in enumerate(ids.items()):
        names[token] = name
        in_model = place < model_names
        tokens[token] = spelling.bytes_of(name) if in_model else spelling.added_bytes(name)
        kinds[token] = Kind.BYTE if in_model and spelling.is_byte(name) else Kind.NORMAL
    for token, entry in added.items():
        kinds[token] = Kind.SPECIAL if entry.get("special") else Kind.ADDED
    unknown = model_unknown(content, ids)
    for token in {*roles.values(), *unknown}:
        if token in added or token in unknown or BRACKETED.fullmatch(names[token]):
            kinds[token] = Kind.SPECIAL
    for token in np.flatnonzero(kinds == Kind.SPECIAL).tolist():
        tokens[token] = names[token].encode()
    for token in [token for token, spelled in enumerate(tokens) if not spelled]:
        kinds[token] = Kind.UNUSED
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
            ids[name] = max(following, 1 + max(placed, default=-1))
        placed[ids[name]] = entry
    return placed
