"""Whether AutoTokenizer gives what tokenizer.json says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders

from tokxfer.checkpoints.loading import load_tokenizer

SAMPLES = (
    'The quick brown fox, in 1984 and 2024, said: "it\'s 3.14!"\n\tif (x == y) { return 0; }\n',
    " leading space,  two spaces\n\n\nand   lines ",
    "Größe naïve Ελλάδα Привет мир 漢字かな नमस्ते مرحبا 🙂👍🏽 ½ ﬁ",
    "HTTPServerError_42 camelCase don't WE'LL\r\n",
)
"""Texts that tell tokenizers apart: digits, case, spaces, line ends, scripts."""
ODD_SAMPLES = (
    "e\u0301 u\u0308\u00a0\u200b 👩\u200d👩\u200d👧\u200d👦 ﬁ\ufffd 한국어 ไทย\x07",
    "<s>a</s> b <|endoftext|>",
)
"""Texts that many tokenizers change: combining marks, joiners, controls, special tokens."""


def disagreement(
    folder: Path, *, special: bool = True, by_parts: bool = False, trust_remote_code: bool = False
) -> str:
    """How AutoTokenizer's ids and text differ from those of tokenizer.json; empty if they agree.

    Args:
        folder: A folder with a tokenizer.
        special: Whether what is put before and after a text counts as well.
        by_parts: Compare the parts of both as well as samples: no text can then tell them apart.
        trust_remote_code: Whether Python code that comes with it may run.
    """
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.no_truncation()
    file.no_padding()
    auto = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    size = file.get_vocab_size(with_added_tokens=True)
    kind = type(auto).__name__
    if len(auto) != size:
        return f"AutoTokenizer ({kind}) has {len(auto):,} tokens, tokenizer.json has {size:,}"
    if by_parts:
        unlike = unlike_parts(file, auto.backend_tokenizer)
        if unlike:
            return f"AutoTokenizer ({kind}) has another {unlike} than tokenizer.json"
    for sample in SAMPLES + ODD_SAMPLES:
        ids = file.encode(sample, add_special_tokens=special).ids
        shown = repr(sample[:24])
        if auto(sample, add_special_tokens=special)["input_ids"] != ids:
            return f"AutoTokenizer ({kind}) gives other ids for {shown}… than tokenizer.json"
        if auto.decode(ids) != file.decode(ids, skip_special_tokens=False):
            return f"AutoTokenizer ({kind}) gives other text for the ids of {shown}…"
    return ""


def unlike_parts(one: Tokenizer, other: Tokenizer) -> str:
    """The first part in which two tokenizers differ; empty if no text tells them apart."""
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if _settings(getattr(one, part)) != _settings(getattr(other, part)):
            return part
    if type(one.model) is not type(other.model):
        return "model"
    options = [
        name
        for name in dir(one.model)
        if not name.startswith("_") and not callable(getattr(one.model, name))
    ]
    if any((getattr(one.model, o) or None) != (getattr(other.model, o) or None) for o in options):
        return "model"
    return "" if one.get_vocab() == other.get_vocab() else "vocabulary"


def _settings(part: Any) -> Any:
    """What a part does, without what only concerns offsets."""
    if part is None:
        return None
    settings = json.loads(part.__getstate__())
    for one in [settings, *settings.get("pretokenizers", []), *settings.get("decoders", [])]:
        one.pop("trim_offsets", None)
        if isinstance(part, decoders.ByteLevel):
            one.pop("add_prefix_space", None)
            one.pop("use_regex", None)
    return settings
