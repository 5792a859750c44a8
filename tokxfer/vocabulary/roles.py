"""Which special token plays which role, from what a folder declares or a tokenizer shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokxfer.vocabulary.spelling import components

ROLES = ("bos", "eos", "pad", "unk", "mask", "sep", "cls")
WELL_KNOWN = {
    "bos": (
        "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<｜begin▁of▁sentence｜>",
        "<|bos|>", "<|begin|>", "[BOS]",
    ),
    "eos": (
        "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "<｜end▁of▁sentence｜>",
        "<|eos|>", "[EOS]", "<|im_end|>", "<|end|>",
    ),
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"),
    "unk": ("<unk>", "[UNK]"),
    "mask": ("<mask>", "[MASK]"),
    "sep": ("[SEP]",),
    "cls": ("[CLS]",),
}  # fmt: skip
CHAT_WORDS = (
    "im_start", "im_end", "im_sep", "header_id", "eot", "eom", "_of_turn", "INST]", "turn|",
    "user|", "assistant|", "system|", "<|end|>", "User｜", "Assistant｜", "TOOL", "tool_call",
)  # fmt: skip


def find_roles(
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    ids: Mapping[str, int],
    special: Mapping[int, str],
) -> dict[str, int]:
    """Assign roles to ids: what is declared first, then the post-processor, then spellings.

    Args:
        content: The parsed `tokenizer.json`, its vocabulary not needed.
        config: `bos_token`, `bos_token_id`, `chat_template` and so on, as a folder declares them.
        ids: The id of every name.
        special: Names of the added tokens by id.

    Returns:
        The id of each role in `ROLES` that is filled. Other special tokens have no role here.
    """
    found: dict[str, int] = {}
    for role in ROLES:
        for token in (*declared(role, config, ids, special), *shown(role, content, ids, special)):
            found.setdefault(role, token)
    spelled = {name: token for token, name in special.items()}
    for role in ROLES:
        for name in WELL_KNOWN[role]:
            if name in spelled:
                found.setdefault(role, spelled[name])
    if found.get("eos") == spelled.get("<|endoftext|>", -1):  # GPT-2's one token has both roles
        found.setdefault("bos", found["eos"])
    return found


def declared(
    role: str, config: Mapping[str, Any], ids: Mapping[str, int], special: Mapping[int, str]
) -> Iterator[int]:
    """The id that a folder's files give a role, by name or else by number."""
    name = config.get(f"{role}_token")
    if isinstance(name, Mapping):
        name = name.get("content")
    if isinstance(name, str) and name in ids:
        yield ids[name]
    number = config.get(f"{role}_token_id")
    first = number[0] if isinstance(number, list) and number else number
    if isinstance(first, int) and first in special:
        yield first


def shown(
    role: str, content: Mapping[str, Any], ids: Mapping[str, int], special: Mapping[int, str]
) -> Iterator[int]:
    """The id that the tokenizer itself gives a role: its unknown token, its post-processor's."""
    if role == "unk":
        yield from model_unknown(content, ids)
    for step in components(content.get("post_processor")):
        for name in placed(role, step):
            if ids.get(name, -1) in special:
                yield ids[name]


def model_unknown(content: Mapping[str, Any], ids: Mapping[str, int]) -> tuple[int, ...]:
    """The id that the model gives what it cannot spell, if it has one."""
    model = content["model"]
    if isinstance(model.get("unk_id"), int):
        return (model["unk_id"],)
    return (ids[model["unk_token"]],) if model.get("unk_token") in ids else ()


def placed(role: str, step: Mapping[str, Any]) -> Iterator[str]:
    """The names that a post-processor puts where a role stands in a single text."""
    if step["type"] in ("BertProcessing", "RobertaProcessing"):
        other = {"bos": "cls", "eos": "sep"} if step["type"] == "RobertaProcessing" else {}
        place = step.get(other.get(role, role))
        if place:
            yield str(place[0])
    if step["type"] != "TemplateProcessing":
        return
    items = step.get("single") or []
    text = next((at for at, item in enumerate(items) if "Sequence" in item), len(items))
    around = {"bos": items[:text], "eos": items[text + 1 :], "cls": items[:text]}
    around["sep"] = around["eos"]
    for item in around.get(role, ())[:1]:
        name = str(item["SpecialToken"]["id"])
        bracketed = name in (*WELL_KNOWN["cls"], *WELL_KNOWN["sep"])
        if bracketed == (role in ("cls", "sep")):
            yield name


def marker_role(name: str, chat_template: object) -> str:
    """The role of a special token that is none of `ROLES`: it is known by its text.

    Tokens of a conversation are `chat:<text>`, all others `marker:<text>`.
    """
    template = chat_template if isinstance(chat_template, str) else json.dumps(chat_template)
    in_chat = name in template or any(word in name for word in CHAT_WORDS)
    return f"{'chat' if in_chat else 'marker'}:{name}"
