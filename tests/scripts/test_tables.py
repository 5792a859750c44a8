"""A generated table lands in its own block and nowhere else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = """before
<!-- table:one -->
old
<!-- /table -->
between
<!-- table:two -->
<!-- /table -->
after
"""


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "tables", ROOT / "scripts" / "bench" / "tables.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_only_the_named_block_changes(tables: ModuleType, page: Path) -> None:
    tables.replace_block(page, "one", "| new |\n")
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "| new |")


def test_an_empty_block_is_filled(tables: ModuleType, page: Path) -> None:
    tables.replace_block(page, "two", "filled")
    assert "<!-- table:two -->\nfilled\n<!-- /table -->\nafter\n" in page.read_text("utf-8")


def test_replacing_twice_is_replacing_once(tables: ModuleType, page: Path) -> None:
    tables.replace_block(page, "one", "same")
    once = page.read_text(encoding="utf-8")
    tables.replace_block(page, "one", "same")
    assert page.read_text(encoding="utf-8") == once


def test_backslashes_are_kept_as_they_are(tables: ModuleType, page: Path) -> None:
    tables.replace_block(page, "one", r"\1 \g<0>")
    assert r"\1 \g<0>" in page.read_text(encoding="utf-8")


def test_an_unknown_block_is_an_error_and_changes_nothing(tables: ModuleType, page: Path) -> None:
    with pytest.raises(ValueError, match="0 blocks 'table:three'"):
        tables.replace_block(page, "three", "x")
    assert page.read_text(encoding="utf-8") == PAGE


def test_a_table_has_a_header_an_alignment_row_and_the_rows(tables: ModuleType) -> None:
    table = tables.markdown_table(["method", "ratio"], [["omp", 1.25]], "lr")
    assert table == "| method | ratio |\n| --- | --: |\n| omp | 1.25 |"
