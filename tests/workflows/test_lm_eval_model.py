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


def write_tasks(folder: Path, names: list[str], lines: list[dict[str, Any]]) -> None:
    """Tasks by name, on questions of our own."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in names:
        settings = {
            "task": f"tokxfer_{name}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            **TASKS[name],
        }
        (folder / f"{name}.yaml").write_text(json.dumps(settings))


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
    write_tasks(tmp_path, list(TASKS), lines)
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


@pytest.fixture(scope="module")
def chat(tiny: Tiny) -> Path:
    return tiny.model("llama", tokenizer="chat", seed=3)


@pytest.mark.filterwarnings("ignore")
def test_the_harness_applies_chat_templates(
    model: Any, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    lm = tx.ByteLM.from_pretrained(chat)
    lines = []
    for text in TEXT[:3]:
        context = lm.context([{"role": "user", "content": text[:20]}])
        marks = [at for at, token in enumerate(context) if not lm.canonical.tokens[token]]
        before = context[: marks[-1] + 1]
        target = lm.generate(
            b"assistant\n", before, max_new_bytes=6, temperature=0.0, by="bytes"
        ).text
        choices = ["Yes", "zq"]
        nats = [lm.score(f"assistant\n{one}", before).total for one in choices]
        lines.append(
            {"question": text[:20], "choices": choices, "answer": nats.index(max(nats)),
             "target": target}
        )  # fmt: skip
    write_tasks(tmp_path, ["choice", "going_on"], lines)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found = lm_eval.simple_evaluate(
        model=model.TokxferBytes(lm),
        tasks=["tokxfer_choice", "tokxfer_going_on"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
        log_samples=True,
    )
    assert found["results"]["tokxfer_choice"]["acc,none"] == 1.0
    assert found["results"]["tokxfer_going_on"]["exact_match,none"] == 1.0
    sample = found["samples"]["tokxfer_going_on"][0]
    assert "<|im_start|>assistant" in str(sample["arguments"])


@pytest.mark.filterwarnings("ignore")
def test_chat_templates_are_told_apart_and_missed_in_one_sentence(
    model: Any, folder: Path, chat: Path
) -> None:
    asked = model.TokxferBytes(str(chat), device="cpu")
    assert asked.chat_template(False) is None
    assert asked.chat_template(True) == asked.lm.chat_tokenizer.chat_template
    first = asked.tokenizer_name
    asked.templates.chat_template = {"default": "one", "brief": "{{ messages[0]['content'] }}"}
    assert asked.chat_template("brief") == "{{ messages[0]['content'] }}"
    messages = [{"role": "user", "content": "the fox"}]
    assert asked.apply_chat_template(messages) == "the fox"
    assert first.startswith(f"tokxfer-bytes:{chat}:")
    assert asked.tokenizer_name != first
    without = model.TokxferBytes(str(folder), device="cpu")
    for question in (
        lambda: without.chat_template(True),
        lambda: without.apply_chat_template(messages),
    ):
        with pytest.raises(tx.TokxferError, match="has no chat template") as stop:
            question()
        assert str(folder) in stop.value.message
        assert "--apply_chat_template" in (stop.value.hint or "")
