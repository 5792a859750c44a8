"""The benchmark of transplants measures what it says, keeps it, and fills its pages."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tiny import TEXT, Tiny

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "scripts" / "bench"
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module of the benchmark as the script does, by its bare name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module


@pytest.fixture(scope="module")
def bench(tiny: Tiny, load: Load) -> tuple[Callable[[], tuple[str, str]], Path]:
    """Runs the script on a tiny pair, giving output and messages; the folder of what it writes."""
    folder = tiny.fresh()
    folder.mkdir()
    base = tiny.model("llama", tokenizer="spbpe")
    donor = tiny.model("llama", tokenizer="bytebpe", tied=False)
    lines = [json.dumps({"text": text}) for text in TEXT[:3]]
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name in ("README.md", "page.md"):
        (folder / name).write_text("<!-- table:transplant -->\n<!-- /table -->\n")
    arguments = [
        *("--no-peer", "--threads", "1"),
        *("--pairs", f"{base}:{donor}", f"{base}:absent", "--ks", "4", "64"),
        *("--methods", "omp", "subword-length", "focus"),
        *("--text", str(folder / "text.jsonl"), "--cache", str(folder / "cache")),
        *("--json", str(folder / "all.json"), "--plot", str(folder / "plots" / "ratios.svg")),
        *("--readme", str(folder / "README.md"), "--page", str(folder / "page.md")),
    ]

    def run() -> tuple[str, str]:
        with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as messages:
            load("transplant").main(arguments)
        return output.getvalue(), messages.getvalue()

    return run, folder


@pytest.fixture(scope="module")
def first(bench: Any) -> tuple[tuple[str, str], dict[str, Any], Path]:
    """What the first run said, the JSON that it wrote, and its folder."""
    run, folder = bench
    said = run()
    return said, json.loads((folder / "all.json").read_text("utf-8")), folder


@pytest.mark.slow
def test_measures_the_default_and_every_k_that_the_width_allows(first: Any) -> None:
    _, document, _ = first
    study = document["pairs"][0]
    found = [(run["method"], run["k"], *run["flags"]) for run in study["runs"]]
    assert found == [
        ("omp", None), ("subword-length", None), ("focus", None), ("omp", 4),
        ("omp", None, "--twins", "mean"),
    ]  # fmt: skip
    assert study["ks"] == [4]  # 64 is more than a third of the width


@pytest.mark.slow
def test_every_run_has_a_result_and_its_cost(first: Any) -> None:
    _, document, _ = first
    study = document["pairs"][0]
    base = study["base_figures"]
    for run in study["runs"]:
        if run["method"] == "focus":
            assert "give --train-text FILE" in run["failed"]
            continue
        assert run["ratio"] == pytest.approx(run["bits_per_byte"] / base["bits_per_byte"])
        assert run["ratio_stderr"] > 0
        assert run["copied"] + run["approximated"] == 420
        if (run["method"], run["k"]) == ("omp", None):  # the others share one loaded base
            assert run["wall_seconds"] > 0
            assert run["peak_bytes"] > 50e6
        else:
            assert "wall_seconds" not in run
            assert run["inner_seconds"] > 0


@pytest.mark.slow
def test_says_what_was_run_and_on_what(first: Any) -> None:
    (output, _), document, _ = first
    assert "scripts/bench/transplant.py --no-peer" in output
    assert "seed 0, 1 threads" in output
    assert document["text"]["documents"] == 3
    assert document["text"]["sha256"][:16] in output
    assert "torch" in output


@pytest.mark.slow
def test_leaves_out_a_model_that_is_absent_with_a_remark(first: Any) -> None:
    (_, messages), document, _ = first
    assert "no model absent" in messages
    assert len(document["pairs"]) == 1


@pytest.mark.slow
def test_fills_both_pages_and_shows_the_picture_on_them(first: Any) -> None:
    (output, _), _, folder = first
    page = (folder / "page.md").read_text("utf-8")
    readme = (folder / "README.md").read_text("utf-8")
    assert output.strip().splitlines()[0] in page
    assert "| omp, best k |" in readme
    for text in (page, readme):
        assert "](plots/ratios.svg)" in text
    assert "<svg" in (folder / "plots" / "ratios.svg").read_text("utf-8")


@pytest.mark.slow
def test_a_second_run_measures_nothing_again(bench: Any, first: Any) -> None:
    run, folder = bench
    before = {file: file.stat().st_mtime_ns for file in (folder / "cache").glob("*.json")}
    assert run()[0] == first[0][0]
    after = {file: file.stat().st_mtime_ns for file in (folder / "cache").glob("*.json")}
    assert before == after
    assert sum("--evaluation--" not in file.name for file in before) == 5


def made(tool: str, method: str, bits: float, **other: Any) -> dict[str, Any]:
    """One measurement; the base has 2 bits per byte."""
    settings = {"k": None, "named": False, "flags": [], "nats": [bits, 2 * bits]}
    costs = {"copied": 1, "approximated": 2, "wall_seconds": 1.0, "cpu_seconds": 1.0, "tokens": 9}
    figures = {"bits_per_byte": bits, "ratio": bits / 2, "ratio_stderr": 0.1, "peak_bytes": 1e6}
    return {"tool": tool, "method": method} | settings | costs | figures | other


@pytest.fixture
def raced() -> dict[str, Any]:
    """A pair in which both tools took part."""
    return {
        "pair": "a ← b",
        "ks": [4, 8],
        "base_figures": {"bits_per_byte": 2.0, "tokens": 5, "nats": [2.0, 4.0]},
        "runs": [
            made("tokxfer", "omp", 3.0),
            made("tokxfer", "omp", 2.9, k=4),
            made("tokxfer", "omp", 2.8, k=8),
            made("tokxfer", "mean", 5.0),
            made("mergekit", "omp", 3.2, k=4),
            made("mergekit", "omp", 3.4, k=8),
            made("mergekit", "omp", 3.1, k=4, named=True),
            made("mergekit", "omp", 3.05, k=4, named=True, flags=["--magikarp"]),
            {"tool": "mergekit", "method": "mean", "k": None, "named": False, "flags": [],
             "failed": "RuntimeError: no"},
        ],
    }  # fmt: skip


def test_tables_show_each_tool_at_its_default_and_its_best(
    load: Load, raced: dict[str, Any]
) -> None:
    pages = load("transplant_page")
    shown = {label: run["bits_per_byte"] for label, run in pages.picks(raced, detailed=True)[:-1]}
    assert shown == {
        "**omp**": 3.0,
        "omp, best k (8)": 2.8,
        "mean": 5.0,
        "mergekit omp (4, named, `--magikarp`)": 3.05,
        "mergekit omp, as it comes (8)": 3.4,
    }


def test_a_run_that_failed_is_a_row_that_says_so(load: Load, raced: dict[str, Any]) -> None:
    table = load("transplant_page").results([raced], detailed=False)
    assert "| mergekit mean |  |  |  |  | failed: RuntimeError: no |" in table


def test_ratios_by_k_are_those_without_other_flags(load: Load, raced: dict[str, Any]) -> None:
    table = load("transplant_page").by_k([raced])
    assert "| a ← b | tokxfer omp | 1.450 | 1.400 |" in table
    assert "| a ← b | mergekit omp | 1.550 | 1.700 |" in table


def test_the_duel_divides_the_bits_of_the_two_tools(load: Load, raced: dict[str, Any]) -> None:
    line = load("transplant_page").duel([raced]).splitlines()[-1]
    values = [float(cell.split("±")[0]) for cell in line.split("|")[2:-1]]
    assert values == pytest.approx([3.0 / 3.4, 3.0 / 3.05, 2.8 / 3.05], abs=1e-3)


def test_the_matrix_marks_the_best_of_either_tool(load: Load, raced: dict[str, Any]) -> None:
    lines = load("transplant_page").matrix([raced]).splitlines()
    assert lines[0] == "| bits/byte after : before | a<br>← b |"
    assert "| omp | 1.500 ± 0.100 |" in lines
    assert "| omp, best k | **1.400 ± 0.100** |" in lines
    assert "| mergekit omp | *1.525 ± 0.100* |" in lines
    assert not any("mergekit mean" in line for line in lines)  # it failed everywhere


def test_the_pages_say_that_a_best_k_is_a_fixed_one(load: Load, raced: dict[str, Any]) -> None:
    document = {"pairs": [raced], "text": {"documents": 2}, "mergekit": None}
    said = load("transplant_page").reading(document)
    assert "“Best k” is the best fixed k, nothing tuned (tokxfer's with `--no-tune`)" in said
    assert load("transplant_runs").Run("tokxfer", "omp", 8).arguments()[-1] == "--no-tune"
    root = Path(__file__).resolve().parents[2]
    for page in (root / "README.md", root / "docs" / "benchmarks.md"):
        assert "“Best k” is the best fixed k, nothing tuned" in page.read_text("utf-8")


def test_what_failed_is_listed_in_its_own_words(load: Load, raced: dict[str, Any]) -> None:
    said = "\n".join(load("transplant_page").failures([raced, raced]))
    assert "- mergekit mean: RuntimeError: no (2 pairs)" in said


def nats(*values: float) -> dict[str, Any]:
    return {"nats": list(values), "bits_per_byte": sum(values)}


def test_ahead_is_who_differs_by_more_than_the_paired_error(load: Load) -> None:
    verdicts = load("transplant_verdicts")
    many = [1.0, 2.0, 3.0, 4.0]
    for one, other, place in (
        ([0.9 * n for n in many], many, 1),
        ([1.1 * n for n in many], many, -1),
        ([1.3, 1.7, 3.3, 3.7], many, 0),
    ):
        assert verdicts.standing(verdicts.between(nats(*one), nats(*other))) == place


def test_verdicts_count_the_pairs(load: Load, raced: dict[str, Any]) -> None:
    verdicts = load("transplant_verdicts")
    other = json.loads(json.dumps(raced))
    other["runs"][2] |= {"bits_per_byte": 3.5, "nats": [3.5, 7.0]}  # our best is now 2.9
    other["runs"][4] |= {"bits_per_byte": 2.5, "nats": [2.5, 5.0]}
    text = verdicts.said([raced, other])
    assert "- tokxfer's best keeps more than mergekit's best by more than" in text
    assert "on 1 of 2 pairs; on 0 they differ by less, on 1 it keeps less." in text
    assert "| a ← b | omp, k 8 | omp, k 4, `--magikarp` | 0.918 ± 0.000 + |" in text
    assert "TokenAdapt" not in text  # it did not run


def test_mergekit_is_given_every_setting_it_has(load: Load) -> None:
    bench = load("transplant")
    grid = bench.peer_grid((4, 8), bench.PEER_METHODS, True)
    assert all(run.tool == "mergekit" and run.named for run in grid)
    assert len(set(grid)) == len(grid)
    between = [run for run in grid if run.method == "common_interpolation"]
    assert len(between) == 3 * 2 * 2
    assert {run.arguments()[:2] == ["-a", "common_interpolation"] for run in between} == {True}
    sub = [run.flags for run in grid if run.method == "subword"]
    assert sub == [("--subword-method", how) for how in ("sum", "weighted_mean", "first_last")]
    assert {run.method for run in grid} == {*bench.PEER_METHODS} - {"omp", "mean"}


def test_keys_of_mergekits_runs_have_not_changed(load: Load, tmp_path: Path) -> None:
    """What was measured before must not be measured again for want of the old name."""
    runs = load("transplant_runs")
    bench = runs.Bench(["text"], tmp_path, 1, 0, (Path("python"), "mergekit==0.1.5"))
    kept: list[Any] = []
    bench.kept = lambda name, key, measure: kept.append((name, key)) or {}
    pair = runs.Pair(ROOT / "models" / "english-spbpe", ROOT / "models" / "code-bytebpe")
    run = runs.Run("mergekit", "omp", 8, True, ("--magikarp",))
    bench.run(pair, run, pair)
    prints = [runs.fingerprint(pair.base), runs.fingerprint(pair.donor)]
    version = ["mergekit==0.1.5", runs.sources(runs.EVALUATION)]
    arguments = ["-a", "omp", "-k", "8", "--magikarp"]
    assert kept == [
        (
            "english-spbpe--code-bytebpe--mergekit--omp--8",
            [*prints, *bench.place(), version, "mergekit", arguments, True, 0],
        )
    ]


def test_counts_are_read_from_the_first_matrix_in_the_log_of_mergekit(load: Load) -> None:
    log = (
        "Token Breakdown:\n  Exact matches: 7\n  Byte matches: 2\n  Tokens to approximate: 5\n"
        "Token Breakdown:\n  Exact matches: 6\n  Tokens to approximate: 8\n"
    )
    counts = load("transplant_runs").told_by_mergekit(log)
    assert counts == {"copied": 9, "approximated": 5}


def test_memory_is_the_commands_own_however_large_its_starter(load: Load, tmp_path: Path) -> None:
    held = bytearray(200 << 20)
    held[:: 1 << 12] = bytes(len(held) >> 12 or 1).replace(b"\0", b"\1")
    figures, _, _ = load("transplant_runs").timed([sys.executable, "-Ic", ""], tmp_path, 1)
    assert figures["status"] == 0
    assert 1e6 < figures["peak_bytes"] < 100e6


def test_a_failed_command_is_told_by_its_last_words(load: Load, tmp_path: Path) -> None:
    command = [sys.executable, "-Ic", "import sys; sys.exit('it broke')"]
    figures, _, complaint = load("transplant_runs").timed(command, tmp_path, 1)
    assert figures["status"] == 1
    assert complaint.splitlines()[-1] == "it broke"


@pytest.mark.slow
def test_named_copies_say_the_class_of_the_family(load: Load, tiny: Tiny, tmp_path: Path) -> None:
    naming = load("mergekit_naming")
    folder = tiny.model("llama", tokenizer="spbpe")
    copy = tmp_path / "named"
    kind = naming.named_copy(folder, copy, Path(sys.executable))
    config = json.loads((copy / "tokenizer_config.json").read_text("utf-8"))
    assert (kind, config["tokenizer_class"]) == ("LlamaTokenizer", "LlamaTokenizerFast")
    assert (copy / "model.safetensors").resolve() == (folder / "model.safetensors").resolve()


def test_a_method_with_nothing_set_has_no_flags(load: Load) -> None:
    verdicts = load("transplant_verdicts")
    flagged = made("tokxfer", "omp", 2.5, flags=["--twins", "mean"])
    plain = made("tokxfer", "omp", 3.0)
    assert verdicts.default([flagged, made("tokxfer", "omp", 2.0, k=4), plain], "omp") == plain
