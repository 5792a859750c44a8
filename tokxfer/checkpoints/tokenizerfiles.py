"""A donor's tokenizer written into a folder so that the plain Auto class gives the same ids.

`tokenizer.json` decides everything; what stands beside it only names roles and the chat template.
Two habits of transformers are guarded against: special tokens named in the config but absent from
`tokenizer.json` would be added under new ids, and for some model types AutoTokenizer rebuilds the
tokenizer under the class of the *model*, whatever the tokenizer's own config says.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.checkpoints.agreement import disagreement
from tokxfer.checkpoints.chattemplates import markers, read_templates, write_templates
from tokxfer.checkpoints.configs import ROLES
from tokxfer.checkpoints.folder import read_json
from tokxfer.checkpoints.loading import one_line
from tokxfer.checkpoints.refusals import refuse_tokenizer
from tokxfer.checkpoints.roles import read_roles, token_ids, token_text
from tokxfer.checkpoints.writing import write_json
from tokxfer.errors import FolderError, UnsupportedError

GENERIC = "PreTrainedTokenizerFast"
"""The class that takes tokenizer.json as it is, in transformers 4 and 5 alike."""
PLAIN_MARKERS = "plain_text_markers"
"""Where a written tokenizer_config.json says which markers of its chat template are plain text."""
_KEPT = (
    "model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces",
    "model_input_names", "add_prefix_space", "spaces_between_special_tokens", "response_schema",
)  # fmt: skip
_FLAGS = {"add_bos_token": "bos", "add_eos_token": "eos"}
_PLAIN_CODE = '''"""Loads tokenizer.json as it is, whatever the model's type."""

from transformers import PreTrainedTokenizerFast


class PlainTokenizer(PreTrainedTokenizerFast):
    """The tokenizer that tokenizer.json describes."""
'''


@dataclass(frozen=True)
class WrittenTokenizer:
    """What was written.

    Attributes:
        roles: Id by role, as the written tokenizer has them.
        size: Number of ids (largest id + 1).
        chat_template: Whether there is one.
        dropped: Tokens that the donor's config named but its tokenizer.json lacks.
        plain_code: Whether a loader had to be added because AutoTokenizer would have rebuilt the
            tokenizer under the class of the model's type.
    """

    roles: Mapping[str, int]
    size: int
    chat_template: bool
    dropped: tuple[str, ...]
    plain_code: bool


def write_tokenizer(
    donor: Path,
    target: Path,
    *,
    content: Mapping[str, Any] | None = None,
    roles: Mapping[str, int] | None = None,
    max_length: int | None = None,
    trust_remote_code: bool = False,
) -> WrittenTokenizer:
    """Write a donor's tokenizer into a folder that already holds the model's `config.json`.

    Args:
        donor: A model folder, a folder with only `tokenizer.json`, or that file.
        target: An existing folder.
        content: What is written as `tokenizer.json`, where it is not the donor's own; its ids
            include the donor's.
        roles: Id by role where known better than the donor's files say it; None reads them.
        max_length: The model's longest sequence, where the donor states none.
        trust_remote_code: Whether the model's own Python code may run when the result is tried.

    Raises:
        FolderError: The donor has no tokenizer, or AutoTokenizer cannot load it.
        UnsupportedError: Only a slow tokenizer, or AutoTokenizer would give other ids whatever is
            written beside it.
    """
    if donor.is_dir():
        refuse_tokenizer(donor)
    elif not donor.is_file():
        raise FolderError(f"{donor} does not exist.", "Check the path.")
    file = donor / "tokenizer.json" if donor.is_dir() else donor
    folder = file.parent
    own = read_json(file)
    written = own if content is None else dict(content)
    ids, _ = token_ids(written)
    names = {index: name for name, index in ids.items()}
    given = roles if roles is not None else read_roles(donor)
    kept = {role: index for role, index in given.items() if role in ROLES and index in names}
    stated = read_json(folder / "tokenizer_config.json") if _has_config(donor) else {}

    config = {key: stated[key] for key in _KEPT if key in stated}
    if max_length is not None and config.get("model_max_length", 10**9) >= 10**9:
        config["model_max_length"] = max_length
    if content is not None and "add_prefix_space" in config:  # transformers would heed it
        config["add_prefix_space"] = bool(
            (content.get("pre_tokenizer") or {}).get("add_prefix_space")
        )
    config["tokenizer_class"] = GENERIC
    config |= {f"{role}_token": names[index] for role, index in kept.items()}
    extra = [token_text(token) for token in _extra_tokens(stated)]
    config |= (
        {"extra_special_tokens": [t for t in extra if t in ids]}
        if any(token in ids for token in extra)
        else {}
    )
    _check_readable(file)
    config |= _true_flags(written, stated, kept)
    _write_content(file, own, written, target)
    templates = read_templates(folder, stated) if donor.is_dir() else {}
    write_templates(templates, target)
    plain_text = set().union(*map(markers, templates.values())) - ids.keys()
    config |= {PLAIN_MARKERS: sorted(plain_text)} if plain_text else {}
    plain = _write_config(config, target, trust_remote_code)
    return WrittenTokenizer(
        roles=kept,
        size=max(ids.values(), default=-1) + 1,
        chat_template=bool(templates),
        dropped=tuple(sorted(named_tokens(stated) - ids.keys())),
        plain_code=plain,
    )


def _check_readable(file: Path) -> None:
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(file))
    except Exception as failure:  # tokenizers raises nothing more specific
        raise FolderError(
            f"{file} cannot be read by the tokenizers library: {one_line(failure)}",
            "Replace it, or update tokenizers.",
        ) from failure


def _has_config(donor: Path) -> bool:
    return donor.is_dir() and (donor / "tokenizer_config.json").is_file()


def _extra_tokens(stated: Mapping[str, Any]) -> list[Any]:
    for key in ("extra_special_tokens", "additional_special_tokens"):
        value = stated.get(key)
        if value:
            return list(value.values()) if isinstance(value, dict) else list(value)
    return []


def named_tokens(stated: Mapping[str, Any]) -> set[str]:
    """Every token that a tokenizer config names."""
    tokens = [stated.get(f"{role}_token") for role in ROLES]
    tokens += [*_extra_tokens(stated), *(stated.get("added_tokens_decoder") or {}).values()]
    return {text for token in tokens if (text := token_text(token)) is not None}


def _true_flags(
    content: Mapping[str, Any], stated: Mapping[str, Any], roles: Mapping[str, int]
) -> dict[str, bool]:
    """The flags that the donor states, set to what its post-processor does.

    transformers 5 ignores them beside a tokenizer.json; other programs read them.
    """
    from tokenizers import Tokenizer

    flags = _FLAGS.keys() & stated.keys()
    if not flags:
        return {}
    tokenizer = Tokenizer.from_str(json.dumps(content))
    found, bare = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
    added = len(found) > len(bare)
    emitted = {
        "bos": added and found[0] == roles.get("bos"),
        "eos": added and found[-1] == roles.get("eos"),
    }
    return {flag: emitted[_FLAGS[flag]] for flag in sorted(flags)}


def _write_content(file: Path, own: dict[str, Any], content: dict[str, Any], target: Path) -> None:
    """Copy tokenizer.json; truncation and padding left in it by a training run are taken out."""
    clean = content | {"truncation": None, "padding": None}
    if clean == own:
        shutil.copyfile(file, target / "tokenizer.json")
    else:
        write_json(target / "tokenizer.json", clean)


def _write_config(config: dict[str, Any], target: Path, trust_remote_code: bool) -> bool:
    """Write tokenizer_config.json so that AutoTokenizer gives the ids of tokenizer.json.

    Returns:
        Whether that took a loader of our own.
    """
    path = target / "tokenizer_config.json"
    write_json(path, config)
    modes = sorted({False, trust_remote_code})
    if not any(disagreement(target, by_parts=True, trust_remote_code=mode) for mode in modes):
        return False
    code = "tokenization_plain.py"
    (target / code).write_text(_PLAIN_CODE, encoding="utf-8")
    reference = f"{code.removesuffix('.py')}.PlainTokenizer"
    write_json(path, config | {"auto_map": {"AutoTokenizer": [reference, reference]}})
    sentences = [disagreement(target, by_parts=True, trust_remote_code=m) for m in (False, True)]
    if any(sentences):
        (target / code).unlink()
        raise UnsupportedError(
            f"AutoTokenizer would not load this tokenizer as it is: {max(sentences)}.",
            "Use a donor whose tokenizer is of the family that the base's model type expects.",
        )
    return True
