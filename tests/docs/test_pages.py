"""The pages point only at things that exist, and say what the code says."""

from __future__ import annotations

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tokxfer
from tokxfer.embeddings import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "models" / "README.md", *DOCS]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OWN_PATH = re.compile(r"(?<![\w./-])(?:models|scripts|tokxfer|docs|tests|\.ci)/[\w./*-]*[\w*/]")
PLACE = re.compile(r"<!-- table:([\w-]+) -->\n.*?<!-- /table -->", re.S)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_fences(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as GitHub and MkDocs spell them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    for target in LINK.findall(without_fences(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_that_a_page_mentions_exist(page: Path) -> None:
    mentioned = set(OWN_PATH.findall(page.read_text(encoding="utf-8")))
    assert [path for path in sorted(mentioned) if not list(ROOT.glob(path))] == []


def test_figures_of_the_first_page_are_those_of_the_benchmarks() -> None:
    first, whole = (
        {place[1]: place[0] for place in PLACE.finditer(page.read_text(encoding="utf-8"))}
        for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
    )
    for name in ("byte-speed", "next-bytes"):
        figures = set(re.findall(r"[\d,]*\d\.\d+", first[name]))
        assert figures
        assert figures <= set(re.findall(r"[\d,]*\d\.\d+", whole[name]))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_generated_table_names_its_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for place in PLACE.finditer(text):
        before = text[: place.start()].rstrip().rsplit("\n\n", 1)[-1]
        after = text[place.end() :].lstrip().split("\n\n", 1)[0]
        scripts = re.findall(r"scripts/[\w/]+\.py", before + after)
        assert scripts, f"table:{place[1]} names no script beside it"


def test_the_command_reference_is_not_stale() -> None:
    script = [sys.executable, "scripts/docs_cli.py", "--check"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_site_lists_every_page_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r"[\w/-]+\.md", yaml.safe_dump(settings["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in DOCS)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_method_has_a_page_with_all_its_options(name: str) -> None:
    page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    method = REGISTRY[name]
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        assert f"`{field.name}`" in page
    assert f"tx.{method.__name__}(" in page


def test_the_api_page_holds_every_public_name() -> None:
    entries = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.M)
    documented = {entry.rpartition(".")[2] for entry in entries}
    assert set(tokxfer.__all__) - {"__version__"} <= documented
    for entry in entries:
        module, _, name = entry.rpartition(".")
        assert hasattr(importlib.import_module(module), name), entry


def test_the_changelog_knows_this_version() -> None:
    assert f"## {tokxfer.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_citation_knows_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == tokxfer.__version__
    assert citation["license"] == "Apache-2.0"
