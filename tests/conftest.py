"""Fixtures used by every room: offline by default, shapes checked, real inputs where present."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one core each
os.environ.setdefault("TOKXFER_CACHE", str(Path(__file__).resolve().parents[1] / "build" / "cache"))

import pytest
from jaxtyping import install_import_hook

from tests.tiny import Tiny

install_import_hook(
    ["tokxfer.sparse", "tokxfer.embeddings", "tokxfer.distillation"], "beartype.beartype"
)

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse test names with an address in them: workers would not agree on what to run."""
    moving = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if moving:
        raise pytest.UsageError(f"a test is named after where an object lies: {moving[0]}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real tokenizers, models and text; tests that need it skip where it is absent.

    With `TOKXFER_REQUIRE_SHARED=1`, as in continuous integration, they fail instead.
    """
    folder = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
    if not (folder / "tokenizers").is_dir():
        absent = f"no real inputs at {folder} (set TOKXFER_SHARED)"
        if os.environ.get("TOKXFER_REQUIRE_SHARED") == "1":
            pytest.fail(absent)
        pytest.skip(absent)
    return folder


@pytest.fixture(scope="session")
def models() -> Path:
    """The reference models that live in the repository."""
    return ROOT / "models"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The factory of tiny random model folders and tokenizer folders, each built once."""
    return Tiny(tmp_path_factory.mktemp("tiny"))
