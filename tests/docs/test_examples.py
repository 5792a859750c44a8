"""Every fenced example in README and docs runs, page by page, in the order in which it is read.

A block of `bash` or `python` is run; a block of `text` or `json` is output or a sketch; there is no
third kind. `<!-- exit 2 -->` on the line before a block says that its last command fails so.
Commands run in this process, in a folder that holds nothing but `models`, as a reader's would.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tokxfer.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?:<!-- exit (?P<exit>\d+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
RUN = {"bash", "python"}
SHOWN = {"text", "json"}


@dataclass(frozen=True)
class Example:
    """One fenced block; `status` is the exit code that its last command should have."""

    page: Path
    line: int
    kind: str
    body: str
    status: int


def examples(page: Path) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    return [
        Example(page, text.count("\n", 0, f.start()) + 1, f["kind"], f["body"], int(f["exit"] or 0))
        for f in FENCE.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def bootstrap() -> ModuleType:
    path = ROOT / "scripts" / "bootstrap.py"
    specification = importlib.util.spec_from_file_location("bootstrap", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bootstrap"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder like a fresh clone, as far as the examples go."""
    for name in ("models", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_is_output(page: Path) -> None:
    assert {example.kind for example in examples(page)} <= RUN | SHOWN


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_fence_escapes_the_search(page: Path) -> None:
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.M)
    assert len(fences) == 2 * len(examples(page))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(e.kind in RUN for e in examples(page))], ids=name_of
)
def test_the_examples_of_a_page_run(page: Path, reader: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for example in examples(page):
        if example.kind == "python":
            blank_lines = "\n" * example.line  # tracebacks then point into the page
            exec(compile(blank_lines + example.body, str(page), "exec"), names)
        elif example.kind == "bash":
            status = run_shell(example.body)
            assert status == example.status, f"the example at {name_of(page)}:{example.line}"


def run_shell(body: str) -> int:
    """Run commands one after another, stopping at the first that fails; return its exit code."""
    for line in body.replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            status = run_command(shlex.split(command, comments=True))
            if status:
                return status
    return 0


def run_command(words: list[str]) -> int:
    """Run one command of an example: tokxfer, one of the repository's scripts, or a set-up job."""
    if not words:
        return 0
    if words[0] == "tokxfer":
        with pytest.raises(SystemExit) as stop:
            main(words[1:])
        return int(stop.value.code or 0)
    if words[:2] == ["python3", "scripts/bootstrap.py"]:
        return run_job(words[2])
    assert words[0] == "python", f"examples do not use {words[0]}"
    return subprocess.run([sys.executable, *words[1:]]).returncode


def run_job(name: str) -> int:
    """What a set-up job does after setting up; the whole test run is what is running now."""
    if name == "test-all":
        commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        assert "python3 scripts/bootstrap.py test-all" in commands
        return 0
    return run_shell("\n".join(bootstrap().JOBS[name].commands))


def test_the_readme_sets_everything_up_in_two_commands() -> None:
    lines = "\n".join(e.body for e in examples(ROOT / "README.md")).splitlines()
    assert "python3 scripts/bootstrap.py demo" in lines
    assert "python3 scripts/bootstrap.py test-all" in lines


def test_a_failing_example_is_noticed(reader: Path) -> None:
    assert run_shell("tokxfer no-such-command && tokxfer --version") == 2
