"""The comparison of newline rows swaps the rows that it names, in both matrices, and no other."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tiny import write_model_folder
from tokxfer.workflows.evaluate import evaluate_model

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["One line.\nAnother line.\n", "A third\n\nand a fourth.\n"]


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module("newline")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("newline")
    families = {"base": "bytebpe", "donor": "spbpe"}
    return {
        name: write_model_folder(folder / name, tokenizer=family, tied=False, seed=seed)
        for seed, (name, family) in enumerate(families.items())
    }


@pytest.fixture(scope="module")
def ran(
    bench: ModuleType, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The JSON, the page and mergekit's models, which are the donor itself with other numbers."""
    folder = tmp_path_factory.mktemp("out")
    with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in TEXTS)
    (folder / "page.md").write_text("<!-- table:newline -->\n<!-- /table -->\n")
    made: dict[str, Any] = {}

    def theirs(options: Any, method: str) -> Any:
        model = AutoModelForCausalLM.from_pretrained(options.donor)
        with torch.no_grad():
            for matrix in bench.matrices(model):
                matrix.mul_(1.5 + len(made))
        made[method] = [matrix.detach().clone() for matrix in bench.matrices(model)]
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "theirs", theirs)
        bench.main([
            *("--base", str(models["base"]), "--donor", str(models["donor"])),
            *("--text", str(folder / "text.jsonl"), "--corpus", str(folder / "none")),
            *("--cache", str(folder / "cache"), "--page", str(folder / "page.md")),
            *("--json", str(folder / "all.json")),
        ])  # fmt: skip
    return (
        json.loads((folder / "all.json").read_text("utf-8")),
        (folder / "page.md").read_text("utf-8"),
        made,
    )


def test_mergekits_own_newline_is_its_result_as_it_is(
    bench: ModuleType, models: dict[str, Path], ran: Any
) -> None:
    document, _, made = ran
    for method, matrices in made.items():
        model = AutoModelForCausalLM.from_pretrained(models["donor"])
        with torch.no_grad():
            for matrix, kept in zip(bench.matrices(model), matrices, strict=True):
                matrix.copy_(kept)
        expected = evaluate_model(model, bench.read_vocabulary(models["donor"]), TEXTS)
        own = figure(document, f"mergekit {method}", "mergekit's")
        assert own == pytest.approx(expected.bits_per_byte, rel=1e-5)


def test_the_bases_newline_is_in_every_result(
    bench: ModuleType, models: dict[str, Path], ran: Any
) -> None:
    document, _, made = ran
    base = AutoModelForCausalLM.from_pretrained(models["base"])
    old = bench.read_vocabulary(models["base"]).ids_of(b"\n")[0]
    new = bench.newline_of(models["donor"])
    model = AutoModelForCausalLM.from_pretrained(models["donor"])
    with torch.no_grad():
        for matrix, kept, source in zip(
            bench.matrices(model), made["omp"], bench.matrices(base), strict=True
        ):
            matrix.copy_(kept)
            matrix[new] = source[old]
    expected = evaluate_model(model, bench.read_vocabulary(models["donor"]), TEXTS).bits_per_byte
    assert figure(document, "mergekit omp", "the base's") == pytest.approx(expected, rel=1e-5)
    assert figure(document, "mergekit omp", "mergekit's") != pytest.approx(expected, rel=1e-5)


def test_our_results_are_those_of_the_transplant_and_lose_the_row(
    bench: ModuleType, models: dict[str, Path], ran: Any
) -> None:
    document, _, made = ran
    options = bench.parse(["--base", str(models["base"]), "--donor", str(models["donor"])])
    vocabulary = bench.read_vocabulary(models["donor"])
    new = bench.newline_of(models["donor"])
    assert {twins for _, twins in bench.OURS.values()} == {"copy", "mean"}
    for name, (method, twins) in bench.OURS.items():
        model = bench.ours(options, method, twins)
        kept = evaluate_model(model, vocabulary, TEXTS).bits_per_byte
        assert figure(document, name, "the base's") == pytest.approx(kept, rel=1e-5)
        other = made[bench.AGAINST[name].removeprefix("mergekit ")]
        bench.put(model, new, [matrix[new] for matrix in other])
        lost = evaluate_model(model, vocabulary, TEXTS).bits_per_byte
        assert figure(document, name, "mergekit's") == pytest.approx(lost, rel=1e-5)


def test_the_page_marks_what_each_tool_does_itself(ran: Any) -> None:
    document, page, _ = ran
    for tool, row in (("tokxfer", "the base's"), ("mergekit", "mergekit's")):
        assert f"**{figure(document, f'{tool} omp', row):.3f}**" in page
    assert "| tokxfer omp : omp |" in page


def figure(document: dict[str, Any], result: str, newline: str) -> float:
    found = [
        run["bits_per_byte"]
        for run in document["runs"]
        if (run["result"], run["newline"], run["text"]) == (result, newline, "English")
    ]
    assert len(found) == 1
    return float(found[0])
