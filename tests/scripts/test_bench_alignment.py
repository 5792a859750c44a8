"""The alignment's benchmark runs on the tokenizers in the clone, and writes what it measured."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module("alignment")


def test_a_short_run_writes_its_table(bench: ModuleType, tmp_path: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "all.json"
    page.write_text("<!-- table:alignment -->\n<!-- /table -->\n")
    bench.main(["--smoke", "--page", str(page), "--json", str(out)])
    document = json.loads(out.read_text("utf-8"))
    assert document["texts"] == 12
    assert [run["pair"] for run in document["runs"]] == list(bench.SMOKE)
    for run in document["runs"]:
        assert run["aligned"] == pytest.approx(12 / run["seconds"]["aligned"][0])
        assert (run["nfc"]["recall"], run["nfc"]["unequal"]) == (1.0, 0)
        assert min(run["tokens"]) > 300
        assert run["nfc"]["bytes"] >= 12 * 1800
    text = page.read_text("utf-8")
    assert "--smoke" in text
    assert "| english-bytebpe → english-spbpe |" in text
    assert "processor time" in text


def test_texts_are_taken_of_each_corpus_in_turn(bench: ModuleType, tmp_path: Path) -> None:
    corpora = []
    for letter in "ab":
        corpora.append(tmp_path / f"{letter}.jsonl")
        corpora[-1].write_text(json.dumps({"text": letter * 25}) + "\n")
    told = ["--text", *map(str, corpora), "--characters", "10"]
    options = bench.parse([*told, "--texts", "3"])
    assert bench.read(options) == ["a" * 10, "b" * 10, "a" * 10]
    with pytest.raises(SystemExit, match="hold 4 texts only"):
        bench.read(bench.parse([*told, "--texts", "5"]))


def test_a_word_piece_is_trained_on_the_texts(bench: ModuleType) -> None:
    found = bench.vocabulary(ROOT, "wordpiece", ["the dog the dog"])
    assert found.family == "WordPiece"
    assert found.roles["unk"] not in found.encode("the dog")
