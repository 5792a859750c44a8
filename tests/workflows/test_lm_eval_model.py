"""The harness finds the model, and scores a task with it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

import tokxfer as tx
from tests.tiny import TEXT, Tiny
from tokxfer.cli import harness

TASKS = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    },
    "rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "going_on": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 6},
        "metric_list": [{"metric": "exact_match"}],
    },
}


def test_without_the_harness_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        harness.main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (1, "")
    assert err == "Error: lm-eval is not installed.\nHint: pip install 'tokxfer[eval]'\n"


@pytest.fixture(scope="module")
def model() -> Any:
    """The module, where the harness is installed."""
    pytest.importorskip("lm_eval", reason="needs the extra 'eval'")
    from tokxfer.workflows import lm_eval_model

    return lm_eval_model


@pytest.fixture(scope="module")
def folder(tiny: Tiny) -> Path:
    return tiny.model("llama", seed=3)


@pytest.fixture
def tasks(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small tasks on questions of our own."""
    lm = tx.ByteLM.from_pretrained(folder)
    lines = []
    for text in TEXT[:3]:
        target = lm.generate(text[:20], max_new_bytes=6, temperature=0.0, by="bytes").text
        choices = [text[20:26], "zq"]
        likely = max((0, 1), key=lambda at: lm.score(text[:20] + choices[at]).total)
        lines.append(
            {"question": text[:20], "choices": choices, "answer": likely, "target": target,
             "text": text[:40]}
        )  # fmt: skip
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, task in TASKS.items():
        settings = {
            "task": f"tokxfer_{name}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            **task,
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_the_harness_scores_tasks_by_bytes(model: Any, folder: Path, tasks: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        model="tokxfer-bytes",
        model_args=f"pretrained={folder},law=canonical,epsilon=0",
        tasks=[f"tokxfer_{name}" for name in TASKS],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        device="cpu",
        bootstrap_iters=0,
    )["results"]
    assert found["tokxfer_choice"]["acc,none"] == 1.0
    assert found["tokxfer_going_on"]["exact_match,none"] == 1.0
    lm = tx.ByteLM.from_pretrained(folder)
    texts = [text[:40] for text in TEXT[:3]]
    expected = lm.bits_per_byte(texts)
    assert found["tokxfer_rolling"]["bits_per_byte,none"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_harness_own_command_knows_the_model(
    model: Any,
    folder: Path,
    tasks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["run", "--model", "tokxfer-bytes", "--model_args", f"pretrained={folder}"]
    words += ["--tasks", "tokxfer_rolling", "--include_path", str(tasks), "--limit", "1"]
    monkeypatch.setattr(sys, "argv", ["tokxfer-lm-eval", *words])
    harness.main()
    assert "bits_per_byte" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_answers_go_to_the_cache_and_a_loaded_model_will_do(model: Any, folder: Path) -> None:
    from lm_eval.api.instance import Instance

    class Hook:
        def __init__(self) -> None:
            self.kept: list[tuple[Any, ...]] = []

        def add_partial(self, *row: Any) -> None:
            self.kept.append(row)

    asked = model.TokxferBytes(tx.ByteLM.from_pretrained(folder), bytes_per_token=2)
    hook = Hook()
    asked.set_cache_hook(hook)

    def one(kind: str, *arguments: Any) -> list[Instance]:
        return [Instance(kind, {}, arguments, 0)]

    ((nats, greedy),) = asked.loglikelihood(one("loglikelihood", "the", " dog"), disable_tqdm=True)
    assert nats < 0
    assert math.isfinite(nats)
    assert greedy in (True, False)
    (whole,) = asked.loglikelihood_rolling(one("loglikelihood_rolling", "the"), disable_tqdm=True)
    wishes = {"max_gen_toks": 3}
    (text,) = asked.generate_until(one("generate_until", "the", wishes), disable_tqdm=True)
    assert text == asked.lm.generate("the", max_new_bytes=6, temperature=0.0).text
    assert hook.kept == [
        ("loglikelihood", ("the", " dog"), (nats, greedy)),
        ("loglikelihood_rolling", ("the",), whole),
        ("generate_until", ("the", wishes), text),
    ]
    assert asked.tokenizer_name == "tokxfer-bytes:model"
    with pytest.raises(tx.TokxferError, match="one byte or more"):
        model.TokxferBytes(asked.lm, bytes_per_token=0)
