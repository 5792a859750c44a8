"""Held-out documents by kind, and which model is shown which."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import gap_text

from tokxfer.workflows.text import read_documents

MODELS = Path(__file__).resolve().parents[2] / "models"
CODE = "code-bytebpe"  # the model that is shown code, too


def documents(options: argparse.Namespace) -> dict[str, list[str]]:
    """Documents by kind: those given; if none are, prose, and code that no model was trained on.

    Args:
        options: With `text`, `corpus`, `cache` and `documents`, the most of each kind.
    """
    found = {"prose": list(read_documents(options.text or MODELS / "held_out.jsonl", None))}
    if options.text:
        found = {options.text.name: found["prose"]}
    elif options.corpus.is_dir():
        found["code"] = list(gap_text.code(options.corpus, options.cache).judged)
    else:
        print(f"There is no code in {options.corpus}: only prose is measured.", file=sys.stderr)
    return {kind: texts[: options.documents] for kind, texts in found.items()}


def shown(models: Iterable[str], kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Every model with every kind that it is shown: code is for the model of code alone."""
    kinds = list(kinds)
    return [
        (model, kind)
        for model in models
        for kind in kinds
        if kind != "code" or Path(model).name == CODE
    ]
