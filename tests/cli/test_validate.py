"""`tokxfer validate`: a table or a document on stdout, the verdict in the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import tokxfer
from tests.tiny import Tiny
from tokxfer.checkpoints.soundness import NAMES
from tokxfer.cli.main import main
from tokxfer.cli.validate import command


def broken(tiny: Tiny) -> Path:
    path = tiny.copy(tiny.model())
    (path / "tokenizer_config.json").unlink()
    return path


def test_a_sound_folder_exits_with_zero_and_a_table_of_nine_points(tiny: Tiny) -> None:
    result = CliRunner().invoke(command, [str(tiny.model())])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in NAMES)
    assert "FAILED" not in result.stdout
    assert result.stderr == ""


def test_a_wrong_folder_exits_with_one_and_says_which_point_failed(tiny: Tiny) -> None:
    path = broken(tiny)
    result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 1
    assert result.stdout.count("FAILED") == 1
    assert result.stderr == f"{path} is not sound: tokenizer-config.\n"


def test_json_is_one_document_with_nine_checks(tiny: Tiny) -> None:
    result = CliRunner().invoke(command, [str(tiny.model()), "--json"])
    document = json.loads(result.stdout)
    assert (document["schema_version"], document["ok"]) == (1, True)
    assert tuple(check["name"] for check in document["checks"]) == NAMES
    assert all(check.keys() == {"name", "ok", "detail"} for check in document["checks"])
    assert result.exit_code == 0


def test_json_of_a_wrong_folder_exits_with_one(tiny: Tiny) -> None:
    result = CliRunner().invoke(command, [str(broken(tiny)), "--json", "-q"])
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert [c["name"] for c in document["checks"] if not c["ok"]] == ["tokenizer-config"]
    assert (result.exit_code, result.stderr) == (1, "")


def test_quiet_prints_nothing_but_the_verdict(tiny: Tiny) -> None:
    sound = CliRunner().invoke(command, [str(tiny.model()), "-q"])
    wrong = CliRunner().invoke(command, [str(broken(tiny)), "-q"])
    assert (sound.output, sound.exit_code) == ("", 0)
    assert (wrong.stdout, wrong.exit_code) == ("", 1)
    assert "is not sound" in wrong.stderr


def test_a_small_memory_budget_judges_without_loading(tiny: Tiny) -> None:
    result = CliRunner().invoke(command, [str(tiny.model()), "--memory-budget", "1KB"])
    assert "Not loaded" in result.stdout
    assert result.exit_code == 0


def test_remote_code_runs_only_with_the_flag(tiny: Tiny) -> None:
    path = tiny.copy(tiny.model())
    config = json.loads((path / "config.json").read_text())
    code = {"AutoConfig": "here.MyConfig", "AutoModelForCausalLM": "here.MyModel"}
    config |= {"model_type": "mine", "architectures": ["MyModel"], "auto_map": code}
    (path / "config.json").write_text(json.dumps(config))
    (path / "here.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MyModel(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    assert CliRunner().invoke(command, [str(path)]).exit_code == 1
    assert CliRunner().invoke(command, [str(path), "--trust-remote-code"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 1, "Error: nowhere does not exist."),
        ([], 2, "Missing argument 'FOLDER'"),
        ([".", "--memory-budget", "much"], 2, "'much' is not a size"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["validate", *arguments])
    printed = capsys.readouterr()
    assert exit_.value.code == code
    assert sentence in printed.err
    assert printed.out == ""


def test_the_exit_code_reaches_the_shell(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["validate", str(broken(tiny)), "-q"])
    assert exit_.value.code == 1
    capsys.readouterr()


def test_python_gives_the_same_report(tiny: Tiny) -> None:
    report = tokxfer.validate(tiny.model())
    assert report.ok
    assert report.to_dict()["checks"][0] == {
        "name": "weights-complete",
        "ok": True,
        "detail": report.checks[0].detail,
    }
    assert not tokxfer.validate(broken(tiny)).ok
