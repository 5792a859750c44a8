"""The set-up script installs what is pinned, once, and runs jobs until the first that fails."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = ROOT / "scripts" / "bootstrap.py"
    specification = importlib.util.spec_from_file_location("bootstrap", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "bootstrap", module)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def commands(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that would have been run; those with `fail` in them fail."""
    seen: list[str] = []

    def pretend(command: str, programs: Path) -> int:
        seen.append(command)
        return 7 if "fail" in command else 0

    monkeypatch.setattr(bootstrap, "run", pretend)
    monkeypatch.setattr(bootstrap.venv, "create", lambda folder, with_pip: folder.mkdir())
    return seen


def test_every_install_is_pinned(
    bootstrap: ModuleType, commands: list[str], tmp_path: Path
) -> None:
    bootstrap.set_up(tmp_path / "venv", ("all", "dev"))
    assert commands == ["python -m pip install -c constraints.txt -e '.[all,dev]'"]


def test_the_second_run_installs_nothing(
    bootstrap: ModuleType, commands: list[str], tmp_path: Path
) -> None:
    bootstrap.set_up(tmp_path / "venv", ())
    bootstrap.set_up(tmp_path / "venv", ())
    assert commands == ["python -m pip install -c constraints.txt -e ."]


def test_a_failed_install_is_tried_again(
    bootstrap: ModuleType, commands: list[str], tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit):
            bootstrap.set_up(tmp_path / "venv", ("fail",))
        (tmp_path / "venv").rmdir()  # it holds no stamp
    assert len(commands) == 2


def test_an_environment_without_pip_is_completed(
    bootstrap: ModuleType, commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Python without ensurepip leaves it."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").touch()
    made = []
    monkeypatch.setattr(bootstrap.venv, "create", lambda folder, with_pip: made.append(folder))
    bootstrap.set_up(tmp_path / "venv", ())
    (programs / "pip").touch()
    bootstrap.set_up(tmp_path / "venv", ("all",))
    assert made == [tmp_path / "venv"]
    assert len(commands) == 2


def test_a_job_stops_at_the_first_failure(
    bootstrap: ModuleType, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bootstrap.Job("three", ("one", "fail", "three"))
    monkeypatch.setitem(bootstrap.JOBS, "check", job)
    assert bootstrap.main(["check", "--here"]) == 7
    assert commands == ["one", "fail"]


def test_commands_find_the_environment_first_and_stay_offline(
    bootstrap: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "show"
    program.write_text('#!/bin/sh\necho "$PATH" "$HF_HUB_OFFLINE"\n')
    program.chmod(0o755)
    assert bootstrap.run("show", tmp_path) == 0
    echoed = capfd.readouterr().out.splitlines()
    assert echoed[0] == "$ show"
    assert echoed[1].startswith(f"{tmp_path}{os.pathsep}")
    assert echoed[1].endswith(" 1")


def test_no_test_is_skipped_in_the_gate_for_want_of_an_extra(bootstrap: ModuleType) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    among = re.search(r"\[(.*)\]", extras["all"][0])
    assert among is not None
    installed = {*bootstrap.DEVELOPER, *among[1].split(",")}
    needed = {
        extra
        for path in (ROOT / "tests").rglob("test_*.py")
        for extra in re.findall(r"needs the extra '(\w+)'", path.read_text(encoding="utf-8"))
    }
    assert "eval" in needed
    assert needed <= installed


def test_the_makefile_has_every_job(bootstrap: ModuleType) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"JOBS = {' '.join(bootstrap.JOBS)}\n" in makefile


def test_ci_starts_from_an_empty_environment() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'export TOKXFER_VENV="$workspace/venv"' in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
