"""tokxfer: move knowledge between language models that do not share a tokenizer.

Nothing heavy is imported until it is used: every public name is loaded on first access.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "ByteLM": "tokxfer.bytelevel",
    "ByteVocabulary": "tokxfer.vocabulary",
    "VocabularyMap": "tokxfer.vocabulary",
    "align": "tokxfer.workflows.align",
    "compare": "tokxfer.workflows.compare",
    "transplant": "tokxfer.workflows.transplant",
    "plan_transplant": "tokxfer.workflows.planning",
    "transplant_model": "tokxfer.workflows.transplant_model",
    "doctor": "tokxfer.workflows.doctor",
    "distill": "tokxfer.workflows.distill",
    "adapt": "tokxfer.workflows.adapt",
    "teacher_cache": "tokxfer.workflows.teacher_cache",
    "Schedule": "tokxfer.workflows.training.schedule",
    "ALM": "tokxfer.workflows.training.objectives.alm",
    "ByteKL": "tokxfer.workflows.training.objectives.bytekl",
    "SFT": "tokxfer.workflows.training.objectives.sft",
    "ULD": "tokxfer.workflows.training.objectives.uld",
    "MinED": "tokxfer.workflows.training.objectives.mined",
    "GOLD": "tokxfer.workflows.training.objectives.gold",
    "SameVocabulary": "tokxfer.workflows.training.objectives.same",
    "evaluate": "tokxfer.workflows.evaluate",
    "evaluate_model": "tokxfer.workflows.evaluate",
    "validate": "tokxfer.workflows.validate",
    "environment": "tokxfer.workflows.environment",
    "Auto": "tokxfer.embeddings",
    "Blend": "tokxfer.embeddings",
    "ByteStart": "tokxfer.embeddings",
    "OMP": "tokxfer.embeddings",
    "Neighbours": "tokxfer.embeddings",
    "Linear": "tokxfer.embeddings",
    "Procrustes": "tokxfer.embeddings",
    "Subword": "tokxfer.embeddings",
    "SubwordLength": "tokxfer.embeddings",
    "SubwordFirst": "tokxfer.embeddings",
    "SubwordLast": "tokxfer.embeddings",
    "Asymmetric": "tokxfer.embeddings",
    "TokenAdaptLocal": "tokxfer.embeddings",
    "TokenAdaptGlobal": "tokxfer.embeddings",
    "TokenAdaptHybrid": "tokxfer.embeddings",
    "Focus": "tokxfer.embeddings",
    "Wechsel": "tokxfer.embeddings",
    "TextCorpus": "tokxfer.workflows.corpus",
    "TextEncoder": "tokxfer.workflows.encoder",
    "Mean": "tokxfer.embeddings",
    "Gaussian": "tokxfer.embeddings",
    "Zero": "tokxfer.embeddings",
    "TokxferError": "tokxfer.errors",
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tokxfer' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
