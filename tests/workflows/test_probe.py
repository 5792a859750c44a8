"""Comparing methods after a few steps of training: copies learn, and all else stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import TEXT, Tiny
from tokxfer import compare, transplant
from tokxfer.cli.main import main
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.compare_page import page
from tokxfer.workflows.comparison import Compared, ComparisonReport, judge_probed
from tokxfer.workflows.distill import distill
from tokxfer.workflows.evaluation import Evaluation, Ratio
from tokxfer.workflows.probing import Probe
from tokxfer.workflows.training.schedule import Schedule

METHODS = ["subword", "mean", "gaussian"]
PROBED = ("probe_bits_per_byte", "probe_ratio", "probe_stderr")
CLOCKED = ("seconds", "preparing_seconds", "preparing_bytes", "extra_bytes")


def write(path: Path, documents: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return path


@pytest.fixture(scope="module")
def pair(tiny: Tiny) -> tuple[Path, Path]:
    return tiny.model("llama", tied=False), tiny.model("gpt2", tokenizer="unigram", seed=5)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "42", "birds;", "naïve", "café"]
    documents = [" ".join(words[i:] + words[:i]) * (1 + i % 3) for i in range(len(words))]
    return write(tmp_path_factory.mktemp("texts") / "text.jsonl", documents)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("texts") / "training.jsonl", TEXT[:7])


@pytest.fixture(scope="module")
def probed(pair: tuple[Path, Path], text: Path, training: Path) -> ComparisonReport:
    return compare(*pair, text=text, methods=METHODS, train_text=training, probe=3, seed=2)


def figures(report: ComparisonReport) -> dict[str, Any]:
    """What must not depend on a probe, by method."""
    found = {result.method: result.to_dict() for result in report.results}
    return {
        method: {name: v for name, v in told.items() if name not in (*PROBED, *CLOCKED)}
        for method, told in found.items()
    }


def test_all_other_figures_are_as_without_a_probe(
    pair: tuple[Path, Path], text: Path, probed: ComparisonReport
) -> None:
    plain = compare(*pair, text=text, methods=METHODS, seed=2)
    assert figures(probed) == figures(plain)
    assert probed.base.nats.tolist() == plain.base.nats.tolist()
    assert probed.verdict == plain.verdict
    assert plain.probe_verdict is None
    for result in plain.results:
        assert [result.to_dict()[name] for name in PROBED] == [None, None, None]


def test_a_probe_is_what_a_distillation_of_the_transplant_comes_to(
    pair: tuple[Path, Path], text: Path, training: Path, probed: ComparisonReport, tmp_path: Path
) -> None:
    transplant(*pair, tmp_path / "moved", method="mean", seed=2)
    schedule = Schedule(steps=3, batch_size=4, max_length=128, seed=2)
    report = distill(
        pair[0], tmp_path / "moved", tmp_path / "out", data=training, eval_text=text,
        schedule=schedule, device="cpu", offline=True,
    )  # fmt: skip
    (found,) = (result for result in probed.results if result.method == "mean")
    assert found.probed is not None
    assert found.probed.nats == pytest.approx(report.after.evaluation.nats, rel=1e-4)
    assert found.probed.bits_per_byte != pytest.approx(found.evaluation.bits_per_byte, rel=1e-3)
    assert found.probe_ratio is not None
    assert found.probe_ratio.value == found.probed.ratio(probed.base).value
    assert found.probe_ratio.stderr is not None


def test_the_probe_trains_on_documents_that_no_model_is_scored_on(
    pair: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        Probe, "trained", lambda self, model, *_: (seen.append(self.texts), model)[1]
    )
    found = compare(*pair, text=text, methods=["mean"], probe=1)
    every = [json.loads(line)["text"] for line in text.read_text().splitlines()]
    assert found.settings["documents_split_off"] == len(seen[0]) == 4
    assert set(seen[0]) <= set(every)
    assert found.base.bytes == sum(len(t.encode()) for t in every if t not in seen[0])
    assert any("split off to be learnt from" in remark for remark in found.remarks)


def test_a_probe_that_fails_leaves_the_methods_other_figures(
    pair: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Probe, model: Any, name: str, vocabulary: Any) -> Any:
        if name == "mean":
            raise TokxferError("The loss is no number.", "Lower it.")
        return model

    monkeypatch.setattr(Probe, "trained", fail)
    found = compare(*pair, text=text, methods=["mean", "zero"], probe=1)
    by_name = {result.method: result for result in found.results}
    assert by_name["mean"].probed is None
    assert by_name["zero"].probed is not None
    assert "mean could not be probed: The loss is no number. Lower it." in found.remarks
    assert found.probe_verdict is not None
    assert found.probe_verdict.method == "zero"
    page(found)


def measured(method: str, nats: list[float]) -> Compared:
    counts = np.full(len(nats), 100)
    evaluation = Evaluation(method, np.array(nats), counts, counts, 0, 0, 0, 8, 0, 0.0)
    start = replace(evaluation, nats=np.full(len(nats), 500.0))
    return Compared(method, None, start, Ratio(1.0, None), evaluation)  # type: ignore[arg-type]


def test_the_best_after_a_probe_is_judged_by_what_the_probe_found() -> None:
    noise = np.random.default_rng(0).standard_normal(40)
    base = measured("base", [100.0] * 40).probed
    assert base is not None
    best, close = measured("best", list(110 + noise)), measured("close", list(110 + noise[::-1]))
    worse = measured("worse", list(115 + noise[::-1]))
    none = replace(measured("none", [1.0] * 40), probed=None)
    verdict = judge_probed(base, (close, worse, best, none), seed=0)
    assert verdict is not None
    assert {verdict.method, *verdict.equal} == {"best", "close"}
    assert (verdict.better, verdict.others) == ((), 2)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"probe": 0}, "1 step or more"),
        ({"probe": 2, "probe_objective": "magic"}, "no objective 'magic'"),
        ({"probe": 2, "limit": 1}, "a single document cannot be split"),
    ],
)
def test_a_probe_that_cannot_be_is_refused_before_any_work(
    pair: tuple[Path, Path],
    text: Path,
    told: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokxfer.workflows.compare.evaluate_model", None)
    with pytest.raises(UsageError, match=said):
        compare(*pair, text=text, methods=["mean"], **told)


def test_the_command_and_the_page_say_what_the_probe_found(
    pair: tuple[Path, Path],
    text: Path,
    training: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*pair, "--text", text, "--train-text", training, "-m", "mean", "-m", "zero"]
    words += ["--probe", 2, "--report", tmp_path / "report", "-q"]
    with pytest.raises(SystemExit) as stop:
        main(["compare", *map(str, words)])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    assert "after 2" in out
    assert "\nAfter 2 steps, best on half of the documents: " in out
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    assert all(result[name] is not None for result in document["results"] for name in PROBED)
    assert document["probe_verdict"]["method"] in ("mean", "zero")
    written = (tmp_path / "report" / "report.html").read_text()
    assert "<th>after 2 steps</th>" in written
    assert "is best after 2 steps of training by the base on a random half" in written
