"""A finished reference model as a folder: weights, tokenizer, card, manifest, held-out figures."""

from __future__ import annotations

import itertools
import json
import platform
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedTokenizerFast

import tokxfer

from .data import documents, file_hash
from .recipes import Recipe
from .train import build, steps

HELD_OUT_BYTES = 400_000
MANIFEST = "reference.json"
LICENCES = (
    "The texts are under free licences (public domain, CC0, CC BY, CC BY-SA and permissive\n"
    "software licences). "
)


def export(
    recipe: Recipe,
    weights: Path,
    tokenizer: Tokenizer,
    work: Path,
    out: Path,
    texts: list[Path],
    held_out: list[Path],
    *,
    own: bool = False,
) -> None:
    """Write `out` anew, evaluate it on the held-out texts, describe it. `own`: a user's texts."""
    partial = work / "export"
    shutil.rmtree(partial, ignore_errors=True)
    model = build(recipe, tokenizer)
    model.load_state_dict(torch.load(weights, weights_only=True))
    roles = {f"{role}_token": token for role, token in recipe.roles.items()}
    ids = {f"{role}_id": tokenizer.token_to_id(token) for role, token in roles.items()}
    model.generation_config = GenerationConfig(
        **{name: value for name, value in ids.items() if name != "unk_token_id"}
    )
    model.save_pretrained(partial)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=recipe.context,
        clean_up_tokenization_spaces=False,
        **roles,
    )
    fast.save_pretrained(partial)
    figures = {path.name: held_out_figures(partial, path, work) for path in held_out}
    manifest = describe(recipe, model, texts, held_out, figures)
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
    (partial / "README.md").write_text(card(recipe, manifest, own), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(partial, out)
    print(f"{out}: " + ", ".join(f"{name} {f['bits_per_byte']:.3f}" for name, f in figures.items()))


def held_out_figures(folder: Path, path: Path, work: Path) -> dict[str, float]:
    """Bits per byte and its standard error on the first documents of a held-out file."""
    sample = work / "held_out.jsonl"
    taken = 0
    with sample.open("w", encoding="utf-8") as stream:
        for text in itertools.chain(documents(path)):
            if taken > HELD_OUT_BYTES:
                break
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            taken += len(text.encode())
    report = tokxfer.evaluate([str(folder)], text=sample).to_dict()["results"][0]
    return {name: report[name] for name in ("bits_per_byte", "stderr", "tokens", "bytes")}


def describe(
    recipe: Recipe,
    model: Any,
    texts: list[Path],
    held_out: list[Path],
    figures: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """What the model was made of and how well it does."""
    return {
        "name": recipe.name,
        "about": recipe.about,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "corpus_sha256": {path.name: file_hash(path) for path in texts},
        "held_out_sha256": {path.name: file_hash(path) for path in held_out},
        "corpus_shares": list(recipe.shares) or [1.0],
        "seed": recipe.seed,
        "steps": steps(recipe),
        "batch": recipe.batch,
        "muon_rate": recipe.muon_rate,
        "adam_rate": recipe.adam_rate,
        "fim_share": recipe.fim_share,
        "dtype": "float32",
        "tokens_seen": steps(recipe) * recipe.batch * recipe.context,
        "context": recipe.context,
        "held_out": figures,
        "command": shlex.join(["python", "scripts/train_reference_models.py", *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def card(recipe: Recipe, manifest: dict[str, Any], own: bool) -> str:
    """The model card: metadata, what it is, how well it does."""
    about = "Trained on texts of its maker's own" if own else recipe.about
    licences = "" if own else LICENCES
    rows = "\n".join(
        f"| {name} | {f['bits_per_byte']:.3f} {error(f)} | {f['bytes']:,} |"
        for name, f in manifest["held_out"].items()
    )
    return f"""---
library_name: transformers
{"" if own else "license: apache-2.0" + chr(10)}pipeline_tag: text-generation
tags:
- tokxfer
- reference-model
---

# {recipe.name}

{about}. {manifest["parameters"]:,} parameters: {recipe.layers} layers of width
{recipe.width}, vocabulary {recipe.vocab_size:,}, context {recipe.context}. Trained on
{manifest["tokens_seen"]:,} tokens with seed {recipe.seed} by `{manifest["command"]}`, to have
small real models on which every example and test of tokxfer can run. No use for anything else.

Held-out bits per byte (± standard error over documents), on the first documents until
{HELD_OUT_BYTES:,} bytes are passed (`never_drawn_…` are documents of a training file that training
did not draw):

| text | bits per byte | bytes |
|---|--:|--:|
{rows}

{licences}`{MANIFEST}` has the hashes of the texts and the settings of the training.
"""


def error(figures: dict[str, Any]) -> str:
    """The standard error as people write it; nothing where there was one document only."""
    return "" if figures["stderr"] is None else f"± {figures['stderr']:.3f}"
