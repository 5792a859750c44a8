"""Loading through the plain Auto classes, without noise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokxfer.checkpoints
from tests.tiny import Tiny
from tokxfer.checkpoints import load_model, load_tokenizer, quiet_transformers
from tokxfer.checkpoints.loading import one_line
from tokxfer.errors import FolderError, UnsupportedError

ROOT = Path(__file__).resolve().parents[2]


def test_a_model_is_loaded_ready_to_evaluate(tiny: Tiny) -> None:
    model = load_model(tiny.model("llama", dtype="bfloat16"))
    assert not model.training
    assert model.dtype == torch.bfloat16


def test_a_dtype_may_be_asked_for(tiny: Tiny) -> None:
    model = load_model(tiny.model("llama", dtype="bfloat16"), dtype=torch.float32)
    assert model.dtype == torch.float32


def test_a_multimodal_model_is_loaded_with_its_language_head(tiny: Tiny) -> None:
    model = load_model(tiny.model("gemma3"))
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 420)


def test_a_model_that_lacks_a_tensor_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    weights = load_file(path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FolderError, match=r"lacks 1 tensor\(s\) .* model.norm.weight"):
        load_model(path)


def test_a_model_that_does_not_fit_its_config_is_refused(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 999}))
    with pytest.raises(FolderError, match="transformers cannot load") as failure:
        load_model(path)
    assert "validate" in (failure.value.hint or "")


def test_a_tokenizer_is_loaded(tiny: Tiny) -> None:
    assert load_tokenizer(tiny.tokenizer("spbpe")).decode([1]) == "<s>"


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot load the tokenizer"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_with_code_of_its_own_is_refused_without_the_flag(tiny: Tiny) -> None:
    path = tiny.copy(tiny.tokenizer("spbpe"))
    config = json.loads((path / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["here.Mine", "here.Mine"]}}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    (path / "here.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n"
        "class Mine(PreTrainedTokenizerFast):\n    pass\n"
    )
    with pytest.raises(UnsupportedError, match="needs Python code") as failure:
        load_tokenizer(path)
    assert "--trust-remote-code" in (failure.value.hint or "")
    assert type(load_tokenizer(path, trust_remote_code=True)).__name__ == "Mine"


def test_a_slow_tokenizer_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    class Slow:
        is_fast = False

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: Slow())
    with pytest.raises(UnsupportedError, match="only a slow tokenizer"):
        load_tokenizer(tiny.tokenizer())


def test_running_out_of_memory_is_not_called_a_broken_folder(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def exhaust(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", exhaust)
    with pytest.raises(torch.OutOfMemoryError):
        load_model(tiny.model())


def test_transformers_is_silent_only_inside(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity()
    with quiet_transformers():
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == before
    assert logging.is_progress_bar_enabled()


def test_loading_prints_nothing_when_stderr_is_no_terminal(tiny: Tiny) -> None:
    code = f"from tokxfer.checkpoints import load_model; load_model({str(tiny.model())!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_foreign_sentence_is_put_on_one_bounded_line() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line(ValueError("x" * 1000))) == 300


@pytest.mark.parametrize("name", tokxfer.checkpoints.__all__)
def test_every_name_of_the_room_exists_and_is_documented(name: str) -> None:
    assert (getattr(tokxfer.checkpoints, name).__doc__ or "").strip()


def test_an_unknown_name_of_the_room_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tokxfer.checkpoints.nothing
