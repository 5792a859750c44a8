"""The benchmark of the gap trains new rows alone, and divides what it says it divides."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import Tiny
from tokxfer.checkpoints import load_model

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[[str], ModuleType]
MISSING = {True: {"tied": [3, 70, 200]}, False: {"input": [3, 70, 200], "output": [3, 70]}}


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module of the benchmark as the script does, by its bare name."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("scripts", "scripts/bench"):
            patch.syspath_prepend(str(ROOT / folder))
        yield importlib.import_module


def ids() -> np.ndarray:
    """Tokens to train on, which the new rows are many of."""
    return np.random.default_rng(0).choice([3, 70, 200, 9, 11], 3000).astype(np.int32)


def trained(
    load: Load, folder: Path, missing: dict[str, list[int]]
) -> tuple[Any, list[dict[str, float]], Callable[[], float]]:
    """A model after training, its curve, and what the curve measured."""
    oracle = load("gap_oracle")
    model = load_model(folder, dtype=torch.float32)
    new = oracle.NewRows(model, missing)
    held = torch.from_numpy(ids()[-257:].astype(np.int64)).unsqueeze(0)

    def develop() -> float:
        with torch.no_grad():
            logits = model(held[:, :-1]).logits
        return float(torch.nn.functional.cross_entropy(logits[0], held[0, 1:]))

    training = oracle.Training(tokens=2600, rate=1.0, batch=2, context=64)
    return model, oracle.train_rows(new, ids(), training, develop), develop


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_new_rows_change(load: Load, tiny: Tiny, tied: bool) -> None:
    folder = tiny.model("llama", tied=tied)
    before = load_model(folder, dtype=torch.float32).state_dict()
    after = trained(load, folder, MISSING[tied])[0].state_dict()
    new = {
        "model.embed_tokens.weight": MISSING[tied].get("input") or MISSING[tied]["tied"],
        "lm_head.weight": MISSING[tied].get("output") or MISSING[tied]["tied"],
    }
    assert before.keys() == after.keys()
    for name, old in before.items():
        changed = (old != after[name]).reshape(len(old), -1).any(dim=1).nonzero().flatten()
        assert changed.tolist() == new.get(name, []), name


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_falls_and_the_model_holds_its_best_rows(
    load: Load, tiny: Tiny, tied: bool
) -> None:
    _, curve, develop = trained(load, tiny.model("llama", tied=tied), MISSING[tied])
    bits = [point["bits_per_byte"] for point in curve]
    assert min(bits) < bits[0] - 0.1
    assert develop() == pytest.approx(min(bits), rel=1e-5)


def test_rows_that_training_only_harms_are_those_of_the_start(load: Load, tiny: Tiny) -> None:
    oracle = load("gap_oracle")
    model = load_model(tiny.model("llama"), dtype=torch.float32)
    new = oracle.NewRows(model, {"tied": [3, 70]})
    start = new.copy()["tied"]
    worse = iter(range(100))
    training = oracle.Training(tokens=1300, batch=2, context=64, noise=0.0)
    oracle.train_rows(new, ids(), training, lambda: float(next(worse)))
    assert torch.equal(model.get_input_embeddings().weight[[3, 70]], start)


def costs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs of mean, method and oracle [seeds, documents]."""
    random = np.random.default_rng(1)
    oracle = random.uniform(100, 200, (3, 7))
    method = oracle + random.uniform(10, 60, (3, 7))
    return method + random.uniform(20, 90, (3, 7)), method, oracle


def test_the_share_is_the_way_from_mean_to_oracle_with_both_errors(load: Load) -> None:
    mean, method, oracle = costs()
    found = load("gap_share").share(mean.tolist(), method.tolist(), oracle.tolist())
    way, whole = mean - method, mean - oracle
    value = way.sum() / whole.sum()
    left = [way[:, at].sum() - value * whole[:, at].sum() for at in range(7)]
    documents = math.sqrt(7 / 6 * sum(part**2 for part in left)) / whole.sum()
    each = [way[seed].sum() / whole[seed].sum() for seed in range(3)]
    middle = sum(each) / 3
    seeds = math.sqrt(sum((one - middle) ** 2 for one in each) / 2) / math.sqrt(3)
    assert found.value == pytest.approx(value)
    assert found.documents == pytest.approx(documents)
    assert found.seeds == pytest.approx(seeds)
    assert found.each == pytest.approx(each)
    assert found.stderr == pytest.approx(math.sqrt(documents**2 + seeds**2))


def test_mean_is_zero_and_the_oracle_is_one(load: Load) -> None:
    mean, _, oracle = (part.tolist() for part in costs())
    share = load("gap_share").share
    assert (share(mean, mean, oracle).value, share(mean, mean, oracle).stderr) == (0, 0)
    assert share(mean, oracle, oracle).value == 1


def test_the_tail_is_what_the_last_fifth_gained(load: Load) -> None:
    curve = [
        {"tokens": tokens, "bits_per_byte": bits}
        for tokens, bits in ((0, 3.0), (50, 2.0), (100, 1.0))
    ]
    assert load("gap_share").tail(curve) == pytest.approx(0.4)  # 1.4 at 80, between 2 and 1


def test_cosines_are_ranked_against_shares_with_and_without_blind_methods(load: Load) -> None:
    methods = {
        name: {"cosine": {"tied": cosine}, "value": value}
        for name, cosine, value in (
            ("a", 0.1, 0.9), ("b", 0.2, 0.8), ("c", 0.3, 0.7), ("mean", 0.0, 0.0),
        )
    }  # fmt: skip
    shares = load("gap_share")
    assert shares.picked(methods) == {"method": "c", "regret": pytest.approx(0.2)}
    found = shares.rank_correlations(methods)["tied"]
    # ranks 2 3 4 1 against 4 3 2 1: 1 - 6 * (4 + 0 + 4 + 0) / (4 * 15)
    assert found == {"all": pytest.approx(0.2), "sighted": pytest.approx(-1.0)}


def test_documents_to_stop_by_are_not_trained_on(load: Load) -> None:
    text = load("gap_text").Text(
        "any", [f"{n} " + "x" * 50 for n in range(40)], [], "", develop=500
    )
    train, stop = text.draw(seed=1)
    assert not {one[:3] for one in train} & {one[:3] for one in stop}
    assert sum(map(len, stop)) >= 500
    assert text.draw(seed=2)[0] != train


def test_a_key_changes_with_what_a_module_imports_and_with_nothing_else(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = load("gap_runs")
    package = tmp_path / "tokxfer"
    package.mkdir()
    (package / "one.py").write_text("from tokxfer.two import name\n")
    (package / "two.py").write_text("name = 1\n")
    (package / "three.py").write_text("name = 1\n")
    monkeypatch.setattr(runs, "PACKAGE", package)

    def key() -> str:
        return str(runs.closure.__wrapped__(("tokxfer.one",)))

    first = key()
    (package / "three.py").write_text("name = 2\n")
    assert key() == first
    (package / "two.py").write_text("name = 2\n")
    assert key() != first


def test_says_where_training_text_is_looked_for(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no training text in .*absent: name files with --train"):
        load("gap").main(["--corpus", str(tmp_path / "absent"), "--cache", str(tmp_path)])


def call(load: Load, arguments: list[str]) -> str:
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()):
        load("gap").main(arguments)
    return output.getvalue()


@pytest.mark.slow
def test_the_smoke_run_needs_no_corpus_and_fills_page_and_picture(
    load: Load, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table:gap -->\n<!-- /table -->\n")
    arguments = [
        *("--smoke", "--threads", "1", "--corpus", str(tmp_path / "absent")),
        *("--cache", str(tmp_path / "cache"), "--json", str(tmp_path / "gap.json")),
        *("--plot", str(tmp_path / "gap.svg"), "--page", str(page)),
    ]
    first = call(load, arguments)
    study = json.loads((tmp_path / "gap.json").read_text("utf-8"))["pairs"][0]
    methods = study["summary"]["methods"]
    assert methods["mean"]["value"] == 0
    assert set(methods) == {"subword-uniform", "mean", "zero"}
    assert methods["subword-uniform"]["each"] != methods["zero"]["each"]
    text = page.read_text("utf-8")
    assert first.splitlines()[0] in text
    assert "](gap.svg)" in text
    assert "<svg" in (tmp_path / "gap.svg").read_text("utf-8")
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").glob("*.json")}
    assert call(load, arguments) == first
    assert kept == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").glob("*.json")}
