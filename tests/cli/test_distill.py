"""`tokxfer distill` as a command: one document, one sentence, an exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import TEXT, Tiny
from tokxfer.cli.main import main

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--steps", "3", "--batch-size", "4", "--max-length", "48", "--device", "cpu", "--offline")


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Distill one tiny model into another; gives exit code, stdout and stderr."""
    teacher = tiny.model("llama", tokenizer="bytebpe", seed=1)
    student = tiny.model("llama", tokenizer="spbpe", tied=False, seed=2)

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        told = [str(teacher), str(student), str(tmp_path / "out"), *SMALL, *map(str, arguments)]
        with pytest.raises(SystemExit) as stop:
            main(["distill", *told])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in TEXT))
    return path


def test_json_is_one_document_with_teacher_before_and_after(run: Run, data: Path) -> None:
    code, out, err = run("--data", data, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["schema_version"] == 1
    assert {"teacher", "before", "after", "steps", "seconds"} <= told.keys()
    for side in ("teacher", "before", "after"):
        assert told[side]["bits_per_byte"] > 0
    assert told["steps"] == 3
    assert [point["step"] for point in told["curve"]] == [1, 2, 3]
    assert "training" in err  # the bar


def test_a_table_closes_the_run_and_quiet_says_nothing_else(run: Run, data: Path) -> None:
    code, out, err = run("--data", data, "-q")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["teacher", "before", "after"]
    assert "3 steps in" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--objective", "magic"), 2, "There is no objective 'magic'"),
        (("--objective", "sft", "--tau", "2"), 2, "sft has no option 'tau'"),
        (("--tau", "-1"), 2, "tau"),
        (("--byte-share", "2", "--objective", "byte-kl"), 2, "share of bytes"),
        (("--objective", "kl"), 2, "one vocabulary"),
        (("--lr", "-1"), 2, "--lr must be above 0"),
        (("--patience", "2"), 2, "--judge-every"),
        (("--lora", "0"), 2, "rank of adapters"),
        (("--report-to", "carrier-pigeon"), 2, "There is no 'carrier-pigeon' to report to"),
        (("--report-to", "clearml"), 2, "clearml is not installed"),
        (("--resume",), 2, "no run to resume"),
        (("--new-rows-only",), 1, "nobody knows which of its rows are new"),
        (("--eval-text", "nowhere.txt"), 1, "nowhere.txt does not exist"),
    ],
)
def test_wrong_requests_get_a_sentence_and_write_nothing(
    run: Run, data: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    found, out, err = run("--data", data, *arguments, "-q")
    assert (found, out) == (code, "")
    assert told in err
    assert err.startswith("Error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b'{"text": " "}\n', "nothing but white space"),
        (b'{"text": "\xff\xfe"}\n', "is not UTF-8"),
        (b'{"text": "only one"}\n', "none can be set apart"),
        (b'{"prompt": "Hi"}\n', 'has no "text"'),
    ],
)
def test_data_without_text_are_refused(run: Run, tmp_path: Path, content: bytes, told: str) -> None:
    data = tmp_path / "texts.jsonl"
    data.write_bytes(content)
    code, out, err = run("--data", data, "-q")
    assert (code, out) == (1, "")
    assert told in err


def test_an_existing_output_is_kept_unless_forced(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    code, _, err = run("--data", data, "-q")
    assert code == 1
    assert "exists already" in err
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    assert run("--data", data, "-q", "--force")[0] == 0
    assert not (tmp_path / "out" / "mine").exists()
