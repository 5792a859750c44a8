"""Fixtures used by every room: offline by default, shapes checked, real inputs where present."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from jaxtyping import install_import_hook

install_import_hook(["tokxfer.sparse", "tokxfer.embeddings"], "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real tokenizers, models and text; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
    if not (folder / "tokenizers").is_dir():
        pytest.skip(f"no real inputs at {folder} (set TOKXFER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def models() -> Path:
    """The reference models that live in the repository."""
    return ROOT / "models"
