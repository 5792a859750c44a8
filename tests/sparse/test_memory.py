"""Working memory follows the caller's budget, else what is free."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tokxfer.errors import UsageError
from tokxfer.sparse import memory, working_memory


def test_a_budget_is_taken_as_it_is() -> None:
    assert working_memory("cpu", 123) == 123


def test_without_a_budget_it_is_half_of_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\nHugePages_Total: 0\n")
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    assert working_memory(torch.device("cpu")) == 500 * 1024


def test_an_unknown_system_gets_a_modest_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "missing")
    assert working_memory("cpu") == working_memory("mps") == 1 << 30


def test_a_device_is_asked_for_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6000, 10_000))
    assert working_memory("cuda:0") == 3000


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_must_be_positive(budget: int) -> None:
    with pytest.raises(UsageError, match=f"must be positive, not {budget} bytes"):
        working_memory("cpu", budget)
