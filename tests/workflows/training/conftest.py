"""Tiny teachers and students with different tokenizers, and a little text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import TEXT, Tiny


@pytest.fixture(scope="session")
def teacher(tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer="bytebpe", hidden=16, seed=1)


@pytest.fixture(scope="session")
def student(tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer="spbpe", hidden=16, tied=False, seed=2)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "texts.jsonl"
    lines = [text for text in TEXT for _ in range(2)]
    file.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return file
