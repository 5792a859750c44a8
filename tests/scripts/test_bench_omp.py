"""The benchmark of sparse coding measures what it says, at sizes that take seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "bench" / "omp.py"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Standard output of a small run, and the folder with its JSON and page."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text("before\n<!-- table:omp -->\n<!-- /table -->\nafter\n")
    done = subprocess.run(
        [
            *(sys.executable, str(SCRIPT), "--no-peer", "--matrix", "--threads", "1"),
            *("--atoms", "300", "--dims", "32", "64", "--targets", "40", "--k", "6"),
            *("--json", str(folder / "omp.json"), "--page", str(folder / "page.md")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, folder


def test_prints_command_surroundings_and_one_row_a_tool(bench: tuple[str, Path]) -> None:
    output, _ = bench
    assert "scripts/bench/omp.py --no-peer" in output
    assert "seed 0, 1 threads" in output
    lines = [line for line in output.splitlines() if line.startswith("| random")]
    assert [line.split("|")[6].strip() for line in lines] == [
        *("products alone", "tokxfer (Products)") * 2
    ]


def test_writes_every_figure_to_json(bench: tuple[str, Path]) -> None:
    document = json.loads((bench[1] / "omp.json").read_text())
    assert document["schema_version"] == 1
    assert [one["dim"] for one in document["results"]] == [32, 32, 64, 64]
    coded = document["results"][1]
    assert coded["ms_per_target"] > 0
    assert coded["extra_bytes"] >= 0
    assert 0 < coded["relative_error"] < 1
    assert document["results"][0]["times_products"] == 1


def test_fills_its_place_on_a_page(bench: tuple[str, Path]) -> None:
    output, folder = bench
    page = (folder / "page.md").read_text()
    assert page == f"before\n<!-- table:omp -->\n{output.strip()}\n<!-- /table -->\nafter\n"
