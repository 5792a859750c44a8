"""The benchmark of GOLD measures this package without TRL, and reads TRL's figures right."""

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
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        names = ("gold", "gold_page", "gold_worker")
        yield {name: importlib.import_module(name) for name in names}


@pytest.fixture(scope="module")
def ran(
    scripts: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any, str]:
    """What a smoke run printed, the JSON and the page that it wrote; in this process."""
    folder = tmp_path_factory.mktemp("gold")
    page = folder / "page.md"
    page.write_text("<!-- table:gold -->\n<!-- /table -->\n")
    threads = torch.get_num_threads()

    def here(task: dict[str, Any], python: str | None) -> Any:
        assert python is None
        return scripts["gold_worker"].measure(task | {"limit": None})

    given = ["--smoke", "--no-peer", "--json", str(folder / "all.json"), "--page", str(page)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setattr(scripts["gold"], "apart", here)
        with redirect_stderr(StringIO()):
            scripts["gold"].main(given)
    torch.set_num_threads(threads)
    document = json.loads((folder / "all.json").read_text("utf-8"))
    return output.getvalue(), document, page.read_text("utf-8")


def test_the_page_says_what_was_run_with_a_row_a_size(ran: tuple[str, Any, str]) -> None:
    output, _, page = ran
    assert output.strip() in page
    assert "scripts/bench/gold.py --smoke --no-peer" in page
    assert "seed 0, 1 threads; tokxfer " in page
    assert page.count("| 500 | 2 | ") == 2
    assert "observed" not in page


def test_both_objectives_have_a_loss_and_gradients(ran: tuple[str, Any, str]) -> None:
    runs = ran[1]["runs"]
    assert [(run["tokens"], run["way"]) for run in runs] == [
        (8, "gold"), (8, "alm"), (16, "gold"), (16, "alm"),
    ]  # fmt: skip
    for run in runs:
        assert run["loss"] > 0
        assert all(norm > 0 for norm in run["norms"])


def test_chunks_of_both_sides_end_at_the_same_bytes_and_nowhere_within(
    scripts: dict[str, ModuleType],
) -> None:
    task = {"seed": 1, "vocab": 50, "dim": 4, "matched": 0.5, "tokens": 24, "batch": 3}
    case = scripts["gold_worker"].case(task)
    for row in range(3):
        ends = [set(each.ends[row].tolist()) for each in (case.student, case.teacher)]
        finals = [each.ends[row, each.final[row]].tolist() for each in (case.student, case.teacher)]
        assert finals[0] == finals[1]
        assert ends[0] & ends[1] == {0, *finals[0]}
        assert int((case.student.chunk[row] >= 0).sum()) == 24
    assert case.student.hidden.requires_grad
    assert not case.teacher.hidden.requires_grad


def test_a_run_that_took_too_long_is_in_the_table_as_a_bound(
    scripts: dict[str, ModuleType],
) -> None:
    size = {"vocab": 9, "batch": 1, "loss": 0.5}
    ours = {"seconds": 2.0, "extra_bytes": 10_000_000}
    runs = [
        size | {"tokens": tokens, "way": way} | ours
        for tokens in (8, 16)
        for way in ("gold", "alm")
    ]
    ended = [{"over": 60.0, "extra_bytes": 50_000_000}, {"over": 60.0, "at": 8}]
    for tokens, figures in zip((8, 16), ended, strict=True):
        runs.append({"vocab": 9, "batch": 1, "tokens": tokens, "way": "trl"} | figures)
    first, second = scripts["gold_page"].table(runs).splitlines()[2:]
    assert first.startswith("| 9 | 1 | 8 | > 60 |  | 2.00 | 2.00 | > 30.00 | > 30.00 | > 50 | 10 |")
    assert "| > 5.00 | > 5.00 |" in first
    assert second.startswith(
        "| 9 | 1 | 16 | > 60 at 8 |  | 2.00 | 2.00 | > 30.00 | > 30.00 |  | 10 |"
    )


def test_a_measurement_runs_in_a_process_of_its_own_and_ends_at_its_limit(
    scripts: dict[str, ModuleType],
) -> None:
    task = {"way": "gold", "module": "gold_ours", "vocab": 50, "batch": 1, "tokens": 8, "dim": 4}
    task |= {"matched": 0.8, "threads": 1, "seed": 0, "limit": 0.0, "times": 10**9}
    found = scripts["gold"].apart(task, None)
    assert found["over"] == 0.0
