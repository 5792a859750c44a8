"""Point 8: plain Auto classes load it, text survives, the forward pass is finite, eos stops."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.agreement import SAMPLES
from tokxfer.checkpoints.loading import load_tokenizer, load_with_report, quiet_transformers
from tokxfer.checkpoints.sizes import format_size
from tokxfer.checkpoints.skeletons import is_headless, load_config, model_class
from tokxfer.checkpoints.soundness.inspection import Inspection, Unsound

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_NEW_TOKENS = 6


def check_round_trip(inspection: Inspection) -> str:
    """Point 8: everything that a user does first, done once."""
    text = _check_text(inspection)
    needed = int(1.2 * sum(info.size for info in inspection.tensors.values()))
    if needed > inspection.budget:
        return (
            f"{text} Not loaded: it takes {format_size(needed)}, "
            f"{format_size(inspection.budget)} are allowed."
        )
    path, trust = inspection.path, inspection.trust_remote_code
    auto = model_class(load_config(path, trust_remote_code=trust), path)
    model, report = load_with_report(auto, path, dtype=None, trust_remote_code=trust)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise Unsound(f"{len(missing)} tensor(s) would be random, such as {missing[0]}.")
    tokenizer = load_tokenizer(path, trust_remote_code=trust)
    model.eval()
    if is_headless(model):
        return f"{text} {_check_states(model, tokenizer)}"
    return f"{text} {_check_forward(model, tokenizer)}"


def _check_text(inspection: Inspection) -> str:
    """Decode what was encoded; families that change text by design are judged on what they keep."""
    tokenizer = inspection.tokenizer
    words = type(tokenizer.model).__name__ == "WordPiece"
    unknown = {inspection.ids.get(inspection.roles.get("unk", ""), -1)}
    exact, close, unspellable = 0, 0, 0
    for sample in SAMPLES:
        ids = tokenizer.encode(sample, add_special_tokens=False).ids
        text = tokenizer.decode(ids, skip_special_tokens=False)
        if text == sample:
            exact += 1
        elif unknown & set(ids):
            unspellable += 1
        elif _essence(text, words) == _essence(sample, words):
            close += 1
        else:
            raise Unsound(f"Text does not survive encoding and decoding: {sample!r} → {text!r}.")
    if exact == len(SAMPLES):
        return "Text survives exactly."
    return (
        f"Of {len(SAMPLES)} samples {exact} survive exactly, {close} but for case, spaces or "
        f"Unicode form, {unspellable} have characters unknown to the tokenizer."
    )


def _essence(text: str, words: bool) -> str:
    """What a normalizing tokenizer keeps of a text: no case, no accents, spaces alike."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c for c in folded if not unicodedata.combining(c))
    return re.sub(r"\s+", "" if words else " ", kept).strip()


def _check_forward(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> str:
    import torch

    ids = tokenizer(SAMPLES[0])["input_ids"][:12]
    prompt = torch.tensor([ids])
    with torch.no_grad(), quiet_transformers():
        logits = model(prompt).logits
        if not torch.isfinite(logits).all():
            raise Unsound("The forward pass gives numbers that are not finite.")
        stops = _stop_ids(model)
        made = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=_NEW_TOKENS,
            do_sample=False,
            logits_processor=[_Force(stops, len(ids) + 1)] if stops else [],
        )
    length = made.shape[1] - len(ids)
    if stops and length != 2:
        raise Unsound(f"generate does not stop on eos ({stops[0]}): it wrote {length} tokens.")
    return "The forward pass is finite" + (
        "; generate stops on eos." if stops else "; no eos to stop on."
    )


def _check_states(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> str:
    """The same for a model without a head, which writes nothing."""
    import torch

    ids = tokenizer(SAMPLES[0])["input_ids"][:12]
    with torch.no_grad(), quiet_transformers():
        states = model(torch.tensor([ids])).last_hidden_state
    if not torch.isfinite(states).all():
        raise Unsound("The forward pass gives numbers that are not finite.")
    return "The forward pass is finite; there is no head that could write."


def _stop_ids(model: PreTrainedModel) -> list[int]:
    eos: Any = model.generation_config.eos_token_id
    return eos if isinstance(eos, list) else [eos] if isinstance(eos, int) else []


class _Force:
    """Makes the first of some tokens certain from a length on, and all others before."""

    def __init__(self, stops: list[int], length: int) -> None:
        self.stops = stops
        self.token = stops[0]
        self.length = length

    def __call__(self, ids: Any, scores: Any) -> Any:
        scores = scores.clone()
        certain = scores[:, self.token] + 1e4
        if ids.shape[1] >= self.length:
            scores[:, :] = -1e4
            scores[:, self.token] = certain
        else:
            scores[:, self.stops] = -1e4
        return scores
