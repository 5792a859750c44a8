"""Points 4, 5 and 6: special ids agree everywhere, and the tokenizer does what it says."""

from __future__ import annotations

import re
from typing import Any

from tokxfer.checkpoints.agreement import disagreement
from tokxfer.checkpoints.chattemplates import markers, read_templates
from tokxfer.checkpoints.folder import read_json, text_config
from tokxfer.checkpoints.loading import load_tokenizer
from tokxfer.checkpoints.refusals import refuse_tokenizer
from tokxfer.checkpoints.roles import token_text
from tokxfer.checkpoints.soundness.inspection import Inspection, NotApplicable, Unsound
from tokxfer.checkpoints.tokenizerfiles import PLAIN_MARKERS, named_tokens

_ROLES = ("bos", "eos", "pad")


def check_special_ids(inspection: Inspection) -> str:
    """Point 4: bos, eos and pad are the same in tokenizer, config and generation config."""
    text, top, generation = text_config(inspection.config), inspection.config, inspection.generation
    places: dict[str, dict[str, Any]] = {"config.json": dict(top)}
    if text != top:
        places["text_config of config.json"] = dict(text)
    if generation is not None:
        places["generation_config.json"] = generation
    seen = []
    configured = (inspection.path / "tokenizer_config.json").is_file() and inspection.has_tokenizer
    for role in _ROLES:
        stated = {place: _ids(content, role) for place, content in places.items()}
        if inspection.has_tokenizer:
            _check_range(inspection, role, stated)
        token = inspection.roles.get(role)
        own = inspection.ids.get(token) if token and inspection.has_tokenizer else None
        for place, ids in stated.items():
            if own is not None and ids and own not in ids:
                raise Unsound(
                    f"{role}: the tokenizer has {own} ({token}), {place} has "
                    f"{', '.join(map(str, ids))}."
                )
        _check_stop(role, own, stated, configured)
        if own is not None or any(stated.values()):
            shown = own if own is not None else next(ids for ids in stated.values() if ids)[0]
            seen.append(f"{role} {shown}")
    return f"{', '.join(seen)}: the same everywhere." if seen else "No bos, eos or pad is named."


def _ids(content: dict[str, Any], role: str) -> list[int]:
    """The ids that a config gives a role; negative ones stand for none."""
    value = content.get(f"{role}_token_id")
    listed = value if isinstance(value, list) else [value]
    if any(not isinstance(one, int) for one in listed if one is not None):
        raise Unsound(f"{role}_token_id is {value!r}, which is no id.")
    return [one for one in listed if isinstance(one, int) and one >= 0]


def _check_range(inspection: Inspection, role: str, stated: dict[str, list[int]]) -> None:
    known = set(inspection.ids.values())
    for place, ids in stated.items():
        for one in ids:
            if one not in known:
                raise Unsound(f"{role}: {place} has {one}, which is no token of the tokenizer.")


def _check_stop(
    role: str, own: int | None, stated: dict[str, list[int]], tokenizer_configured: bool
) -> None:
    """A generation config without eos wins over everything: generation never stops."""
    place = "generation_config.json"
    named = next((ids for ids in stated.values() if ids), None)
    if role == "eos" and own is None and named and tokenizer_configured:
        raise Unsound(f"The tokenizer names no eos, but the config has {named[0]}.")
    if place not in stated:
        return
    generation, config = stated[place], stated["config.json"]
    if role == "eos" and not generation and (own is not None or any(stated.values())):
        raise Unsound(f"{place} has no eos_token_id: generation never stops.")
    if role == "bos" and generation and config and not set(generation) & set(config):
        raise Unsound(f"bos: config.json has {config[0]}, {place} has {generation[0]}.")


def check_tokenizer_config(inspection: Inspection) -> str:
    """Point 5: a tokenizer config, whose tokens and whose chat template's tokens exist."""
    path = inspection.path
    refuse_tokenizer(path)
    _ = inspection.tokenizer
    if not (path / "tokenizer_config.json").is_file():
        raise Unsound("No tokenizer_config.json: bos and eos would load as None.")
    config = read_json(path / "tokenizer_config.json")
    absent = sorted(named_tokens(config) - inspection.ids.keys())
    if absent:
        raise Unsound(
            f"tokenizer_config.json names {absent[0]!r}, which tokenizer.json lacks: it would be "
            "added under a new id."
        )
    templates = read_templates(path, config)
    plain = set(config.get(PLAIN_MARKERS) or ())
    for name, template in templates.items():
        strange = sorted(markers(template) - inspection.ids.keys() - plain)
        if strange:
            raise Unsound(
                f"The {name} chat template writes {strange[0]!r}, which is no token here."
            )
        for role in re.findall(r"\b(bos|eos)_token\b", template):
            if token_text(config.get(f"{role}_token")) is None and role == "eos":
                raise Unsound(f"The {name} chat template uses {role}_token, which is not set.")
    difference = disagreement(path, special=False, trust_remote_code=inspection.trust_remote_code)
    if difference:
        raise Unsound(f"{difference}.")
    with_template = f", {len(templates)} chat template(s)" if templates else ""
    return f"{len(inspection.roles)} roles named{with_template}; AutoTokenizer gives the same ids."


def check_post_processor(inspection: Inspection) -> str:
    """Point 6: what is put before and after a text is what the files say, with ids that exist."""
    file = inspection.tokenizer
    bare, whole = file.encode("a", add_special_tokens=False), file.encode("a")
    emitted = whole.ids
    for index, token in zip(whole.ids, whole.tokens, strict=True):
        if index not in bare.ids and inspection.ids.get(token) != index:
            raise Unsound(
                f"The post-processor emits {token!r} under id {index}, which is not its id."
            )
    config = read_json(inspection.path / "tokenizer_config.json")
    before, after = _around(emitted, bare.ids)
    for role, found in (("bos", before), ("eos", after)):
        flag = config.get(f"add_{role}_token")
        own = inspection.ids.get(inspection.roles.get(role, ""))
        if not isinstance(flag, bool) or own is None:
            continue
        if flag != (own in found):
            does = "puts" if own in found else "does not put"
            where = "before" if role == "bos" else "after"
            raise Unsound(
                f"add_{role}_token is {str(flag).lower()}, but tokenizer.json {does} {role} "
                f"{where} a text."
            )
    auto = load_tokenizer(inspection.path, trust_remote_code=inspection.trust_remote_code)
    if auto("a")["input_ids"] != emitted:
        raise Unsound(
            f"AutoTokenizer gives {auto('a')['input_ids']} for 'a', tokenizer.json {emitted}."
        )
    if not before and not after:
        return "Nothing is put around a text."
    names = [" ".join(str(file.id_to_token(one)) for one in ids) or "-" for ids in (before, after)]
    return f"Before a text: {names[0]}; after it: {names[1]}."


def _around(ids: list[int], bare: list[int]) -> tuple[list[int], list[int]]:
    """The ids before and after a text."""
    for start in range(len(ids) - len(bare) + 1):
        if ids[start : start + len(bare)] == bare:
            return ids[:start], ids[start + len(bare) :]
    raise NotApplicable("The post-processor changes the text itself.")
