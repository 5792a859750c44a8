"""config.json and generation_config.json rewritten for another vocabulary."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tokxfer.checkpoints.folder import text_config, text_key

ROLES = ("bos", "eos", "pad", "unk", "mask", "sep", "cls")
"""The roles that configs name as `<role>_token_id`."""
NO_TOKEN = -1
"""Stands for a media marker that the new vocabulary lacks: an id that no text contains."""
_OTHER_ID = re.compile(r".*_token_(?:id|index)$|.*_token_ids$")
_LISTS_OF_IDS = ("suppress_tokens", "begin_suppress_tokens")
_ABOUT_OLD_IDS = (
    "bad_words_ids", "force_words_ids", "sequence_bias", "forced_decoder_ids", "constraints",
    "lang_to_id", "task_to_id", "no_speech_token_id",
)  # fmt: skip
_STALE = ("_name_or_path", "tokenizer_class", "padded_vocab_size_multiple")

RoleIds = Mapping[str, "int | list[int] | None"]


def rewrite_config(
    config: Mapping[str, Any],
    *,
    vocab_size: int,
    roles: RoleIds,
    tied: bool | None,
    ids: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """The config of the same model with another vocabulary.

    Sizes, tying and special ids change at the top and in a nested text config; everything else
    (rope, dtype, architecture) is kept.

    Args:
        config: The base's config.json.
        vocab_size: Rows of the new matrices, padding included.
        roles: New id (or ids, for eos) by role; None or absent means that there is none.
        tied: Whether input and output are one matrix; None, without a head, keeps what is
            stated.
        ids: New id by old id for special tokens that have a counterpart; other ids are dropped.
    """
    new = copy.deepcopy(dict(config))
    old_size = text_config(config).get("vocab_size")
    for key in _STALE:
        new.pop(key, None)
    if isinstance(new.get("auto_map"), dict):
        new["auto_map"].pop("AutoTokenizer", None)
    nested = text_key(config)
    places = [new] if nested is None else [new, new[nested]]
    # Everything is stated, also what was left to the defaults of the model's class: those are of
    # the old vocabulary.
    for settings in places:
        if tied is not None:
            settings["tie_word_embeddings"] = tied
        for key, value in settings.items():
            if "vocab_size" in key and isinstance(value, int) and value == old_size:
                settings[key] = vocab_size
        _rewrite_ids(settings, roles, ids or {}, absent=NO_TOKEN)
        for role in ("bos", "eos", "pad"):
            settings.setdefault(f"{role}_token_id", None)
    places[-1]["vocab_size"] = vocab_size
    return new


def rewrite_generation_config(
    generation: Mapping[str, Any] | None,
    *,
    roles: RoleIds,
    ids: Mapping[int, int] | None = None,
    vocab_size: int | None = None,
) -> dict[str, Any] | None:
    """The generation config with the new ids; None stays None.

    A list of eos ids is replaced by the new role's ids together with the counterparts of the old
    ids; settings that name tokens without a counterpart are dropped.

    Args:
        generation: The base's generation_config.json, or None.
        roles: New id (or ids, for eos) by role.
        ids: New id by old id for special tokens that have a counterpart.
        vocab_size: Rows of the new matrices; ids beyond it are dropped.
    """
    if generation is None:
        return None
    new = copy.deepcopy(dict(generation))
    new.pop("_name_or_path", None)
    _rewrite_ids(new, roles, ids or {}, absent=None)
    if vocab_size is not None:
        for key, value in list(new.items()):
            if key.endswith("_token_id") and isinstance(value, int) and value >= vocab_size:
                del new[key]
    return new


def _rewrite_ids(
    settings: dict[str, Any], roles: RoleIds, ids: Mapping[int, int], *, absent: int | None
) -> None:
    named = {f"{role}_token_id": role for role in ROLES}
    for key in [*settings]:
        value = settings[key]
        if key in named or key in _ABOUT_OLD_IDS:
            continue
        if key in _LISTS_OF_IDS and isinstance(value, list):
            settings[key] = _translate(value, ids) or None
        elif _OTHER_ID.fullmatch(key) and value is not None:
            if isinstance(value, list):
                settings[key] = _translate(value, ids) or None
            elif value in ids:
                settings[key] = ids[value]
            elif key.startswith(("decoder_", "forced_")):
                settings[key] = None
            else:
                settings[key] = absent
    for key in _ABOUT_OLD_IDS:
        settings.pop(key, None)
    for key, role in named.items():
        new = roles.get(role)
        if role == "eos":
            new = _eos_ids(new, settings.get(key), ids)
        if key in settings or (new is not None and role in ("bos", "eos", "pad")):
            settings[key] = new


def _eos_ids(
    new: int | list[int] | None, old: Any, ids: Mapping[int, int]
) -> int | list[int] | None:
    """The new role's ids first, then counterparts of the old list; a single id stands alone.

    A vocabulary without eos gets none: what stands for another of the old ids (a pad) is no end.
    """
    found = [new] if isinstance(new, int) else list(new or [])
    if found and isinstance(old, list):
        translated = _translate(old, ids)
        found = translated if set(found) <= set(translated) else found + translated
    found = list(dict.fromkeys(found))
    return found[0] if len(found) == 1 else found or None


def _translate(old: Iterable[Any], ids: Mapping[int, int]) -> list[int]:
    return [ids[value] for value in old if isinstance(value, int) and value in ids]
