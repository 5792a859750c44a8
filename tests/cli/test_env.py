from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
import torch

import tokxfer
from tokxfer.cli.main import main
from tokxfer.workflows import environment
from tokxfer.workflows.environment import Device


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["env", *arguments])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_json_names_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run(capsys, "--json"))
    assert report["schema_version"] == 1
    assert report["tokxfer"] == tokxfer.__version__
    assert report["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    for package in ("torch", "transformers", "tokenizers", "safetensors", "numpy", "click"):
        assert report["packages"][package] == importlib.metadata.version(package)
    assert report["cpus"] >= 1
    assert report["threads"] == torch.get_num_threads()
    assert report["memory"] is None or report["memory"] >= report["memory_free"] > 0


def test_the_table_has_a_line_for_each_package(capsys: pytest.CaptureFixture[str]) -> None:
    lines = dict(line.split(maxsplit=1) for line in run(capsys).splitlines())
    assert lines["tokxfer"].strip() == tokxfer.__version__
    assert lines["torch"].strip() == torch.__version__
    assert "torch threads" in lines["processors"]


def without(*names: str) -> object:
    def version(package: str) -> str:
        if package in names:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    return version


def test_a_missing_package_is_said_and_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", without("matplotlib", "rich"))
    lines = dict(line.split(maxsplit=1) for line in run(capsys).splitlines())
    assert lines["matplotlib"].strip() == "not installed (optional)"
    assert lines["rich"].strip() == "NOT INSTALLED"
    assert lines["click"].strip() == "1.0"


def test_torch_that_cannot_be_loaded_is_said_and_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    out = run(capsys)
    assert "torch cannot be loaded" in out
    assert "no torch threads" in out


def test_accelerators_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = (Device("cuda:0", "Some GPU", 80_000_000_000), Device("mps", "Apple GPU", None))
    monkeypatch.setattr(environment, "torch_devices", lambda: (4, devices, None))
    lines = dict(line.split(maxsplit=1) for line in run(capsys).splitlines())
    assert lines["cuda:0"].strip() == "Some GPU, 80.0 GB"
    assert lines["mps"].strip() == "Apple GPU"


def test_cuda_devices_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = type("Facts", (), {"name": "Tiny", "major": 9, "minor": 0, "total_memory": 5})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: facts)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    _, devices, problem = environment.torch_devices()
    assert devices == (
        Device("cuda:0", "Tiny, compute capability 9.0", 5),
        Device("cuda:1", "Tiny, compute capability 9.0", 5),
        Device("mps", "Apple GPU", None),
    )
    assert problem is None


def test_memory_is_unknown_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "MEMORY", tmp_path / "none")
    assert environment.memory() == (None, None)
    assert "unknown" in run(capsys)


def test_memory_is_read_in_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  16 kB\nMemFree: 1 kB\nMemAvailable:  8 kB\n")
    monkeypatch.setattr(environment, "MEMORY", table)
    assert environment.memory() == (16 * 1024, 8 * 1024)
