"""The benchmark of the head measures three ways that say the same."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module("linear_head")


@pytest.fixture(scope="module")
def ran(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, str]:
    """What a smoke run printed, the JSON and the page that it wrote; in this process."""
    folder = tmp_path_factory.mktemp("head")
    page = folder / "page.md"
    page.write_text("<!-- table:linear_head -->\n<!-- /table -->\n")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setattr(script, "apart", script.worker)
        with redirect_stderr(StringIO()):
            script.main(["--smoke", "--json", str(folder / "all.json"), "--page", str(page)])
    torch.set_num_threads(threads)
    document = json.loads((folder / "all.json").read_text("utf-8"))
    return output.getvalue(), document, page.read_text("utf-8")


def test_all_ways_give_the_same_loss_and_gradients(ran: tuple[str, Any, str]) -> None:
    groups: dict[tuple[int, int], list[Any]] = {}
    for run in ran[1]["runs"]:
        if run["way"] not in ("sft", "alm"):
            groups.setdefault((run["positions"], run["sets"]), []).append(run)
    assert list(groups) == [(64, 0), (64, 1), (64, 100), (32, 1)]
    for runs in groups.values():
        assert [run["way"] for run in runs] == ["log-softmax", "softmax", "tiles"]
        for run in runs[1:]:
            assert run["loss"] == pytest.approx(runs[0]["loss"], rel=1e-5)
            assert run["norms"] == pytest.approx(runs[0]["norms"], rel=1e-5)


def test_the_page_says_what_was_run_and_compares_steps(ran: tuple[str, Any, str]) -> None:
    output, _, page = ran
    assert output.strip() in page
    assert "scripts/bench/linear_head.py --smoke" in page
    assert "seed 0, 1 threads" in page
    assert "| positions | boundary sets | SFT CPU s | ALM CPU s | ALM × SFT |" in page
    assert page.count("in tiles") == 4


def test_a_measurement_runs_in_a_process_of_its_own(script: ModuleType) -> None:
    task = {"way": "tiles", "positions": 8, "sets": 1, "vocab": 50, "dim": 4}
    found = script.apart(task | {"threads": 1, "seed": 0, "times": 1})
    assert found["seconds"] > 0
    assert len(found["norms"]) == 2
