from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import TEXT, Tiny
from tokxfer.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what building the inputs printed
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in TEXT[:3]))
    return path


def results(out: str) -> list[dict[str, Any]]:
    document = json.loads(out)
    assert document["schema_version"] == 1
    return document["results"]


def test_json_is_one_document_on_stdout_in_the_order_given(
    run: Run, tiny: Tiny, text: Path
) -> None:
    names = [str(tiny.model("llama", seed=seed)) for seed in (1, 0)]
    code, out, err = run(*names, "--text", text, "--json")
    assert code == 0
    assert [result["model"] for result in results(out)] == names
    for result in results(out):
        assert {"bits_per_byte", "perplexity", "tokens", "bytes", "stderr"} <= result.keys()
        assert result["stderr"] > 0
        assert result["bytes"] == sum(len(line.encode()) for line in TEXT[:3])
    assert "tok" in err  # the progress bar


def test_a_single_document_has_null_for_its_standard_error(
    run: Run, tiny: Tiny, tmp_path: Path
) -> None:
    plain = tmp_path / "text.txt"
    plain.write_text("a\nb")
    _, out, _ = run(tiny.model("llama"), "--text", plain, "--json")
    assert results(out)[0]["stderr"] is None
    assert results(out)[0]["documents"] == 1


def test_the_table_goes_to_stdout_with_the_base_first(run: Run, tiny: Tiny, text: Path) -> None:
    base, other = (tiny.model("llama", seed=seed) for seed in (0, 1))
    code, out, _ = run(other, "--text", text, "--against", base)
    assert code == 0
    header, *lines = out.splitlines()
    assert "bits/byte" in header
    assert "ratio" in header
    assert [line.split()[0] for line in lines] == [str(base), str(other)]


def test_without_a_base_there_is_no_ratio(run: Run, tiny: Tiny, text: Path) -> None:
    _, out, _ = run(tiny.model("llama"), "--text", text)
    assert "ratio" not in out
    assert len(out.splitlines()) == 2


def test_compressed_text_gives_the_same(run: Run, tiny: Tiny, text: Path) -> None:
    packed = text.with_suffix(".jsonl.xz")
    packed.write_bytes(lzma.compress(text.read_bytes()))
    plain = run(tiny.model("llama"), "--text", text, "--json")[1]
    assert results(plain)[0]["bits_per_byte"] == pytest.approx(
        results(run(tiny.model("llama"), "--text", packed, "--json")[1])[0]["bits_per_byte"]
    )


def test_the_window_changes_what_a_token_sees(run: Run, tiny: Tiny, text: Path) -> None:
    whole, short = (
        results(run(tiny.model("llama"), "--text", text, "--json", *more)[1])[0]
        for more in ([], ["--window", 8])
    )
    assert (whole["window"], short["window"]) == (128, 8)
    assert whole["tokens"] == short["tokens"]
    assert whole["bits_per_byte"] != short["bits_per_byte"]


def test_text_may_be_given_twice_and_limited(run: Run, tiny: Tiny, text: Path) -> None:
    options = ["--text", text, "--text", text, "--limit", 2, "--json"]
    assert results(run(tiny.model("llama"), *options)[1])[0]["documents"] == 4


def test_batch_size_and_budget_reach_the_plan_but_change_no_figure(
    run: Run, tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.workflows import evaluate

    plans = []
    original = evaluate.score_windows
    monkeypatch.setattr(
        evaluate,
        "score_windows",
        lambda model, sequences, windows, plan, advance: (
            plans.append(plan) or original(model, sequences, windows, plan, advance)
        ),
    )
    plain = results(run(tiny.model("llama"), "--text", text, "--json")[1])[0]
    options = ["--batch-size", 2, "--memory-budget", "3MB"]
    other = results(run(tiny.model("llama"), "--text", text, "--json", *options)[1])[0]
    assert (plans[1].size, plans[1].budget) == (2, 3_000_000)
    assert plans[0].size is None
    assert other["bits_per_byte"] == pytest.approx(plain["bits_per_byte"], rel=1e-5)


def test_device_and_dtype_are_those_asked_for(run: Run, tiny: Tiny, text: Path) -> None:
    options = ["--device", "cpu", "--dtype", "bfloat16", "--json"]
    settings = json.loads(run(tiny.model("llama"), "--text", text, *options)[1])["settings"]
    assert (settings["device"], settings["dtype"]) == ("cpu", "bfloat16")
    assert run(tiny.model("llama"), "--text", text, "--device", "abacus")[0] == 2
    assert run(tiny.model("llama"), "--text", text, "--dtype", "int3")[0] == 2


def test_hub_options_reach_the_folder(
    run: Run, tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints import ModelFolder

    seen: list[dict[str, Any]] = []
    original = ModelFolder.open

    def opened(name: str, **options: Any) -> ModelFolder:
        seen.append(options)
        return original(tiny.model("llama"))

    monkeypatch.setattr(ModelFolder, "open", opened)
    run("org/name", "--text", text)
    run(
        "org/name", "--text", text, "--revision", "abc", "--trust-remote-code", "--offline"
    )  # fmt: skip
    assert seen == [
        {"revision": None, "trust_remote_code": False, "offline": False},
        {"revision": "abc", "trust_remote_code": True, "offline": True},
    ]


def test_a_lossy_tokenizer_is_remarked_on_stderr(run: Run, tiny: Tiny, text: Path) -> None:
    folder = tiny.model("llama", tokenizer="wordpiece")
    code, out, err = run(folder, "--text", text)
    assert code == 0
    assert "does not give back 3 of 3 documents as they were" in err
    assert "no bos and no eos" in err
    assert "give back" not in out


def test_empty_documents_are_counted_and_left_out(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ["", "a", "", "b"]))
    _, out, err = run(tiny.model("llama"), "--text", path, "--json", "--limit", 2)
    assert (results(out)[0]["documents"], results(out)[0]["empty_documents"]) == (2, 2)
    assert "2 empty documents were left out" in err


def test_quiet_leaves_stderr_empty(run: Run, tiny: Tiny, text: Path) -> None:
    code, out, err = run(tiny.model("llama", tokenizer="wordpiece"), "--text", text, "-q")
    assert (code, err) == (0, "")
    assert out


def test_verbose_says_windows_and_seconds(run: Run, tiny: Tiny, text: Path) -> None:
    assert "3 documents, windows of 128 tokens" in run(tiny.model("llama"), "--text", text, "-v")[2]
    assert "windows of" not in run(tiny.model("llama"), "--text", text)[2]


def sentence(code: int, out: str, err: str) -> str:
    """The one sentence of a failure; there is nothing on stdout and no traceback."""
    assert code in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    return errors[0].removeprefix("Error: ")


def test_missing_models_and_texts_are_named(run: Run, tiny: Tiny, text: Path) -> None:
    folder = tiny.model("llama")
    assert sentence(*run("no/such/model", "--text", text)).startswith("no/such/model does not")
    assert sentence(*run(folder, "--text", "nothing.txt")) == "nothing.txt does not exist."
    assert sentence(*run(folder, "--text", text, "--against", "no/base/here")).startswith(
        "no/base/here does not"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"caf\xe9", "is not UTF-8"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(
    run: Run, tiny: Tiny, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    code, out, err = run(tiny.model("llama"), "--text", path)
    assert message in sentence(code, out, err)
    assert str(path) in err
    assert code == 1


def test_a_folder_without_tokenizer_is_named(run: Run, tiny: Tiny, text: Path) -> None:
    folder = tiny.copy(tiny.model("llama"))
    (folder / "tokenizer.json").unlink()
    code, out, err = run(folder, "--text", text)
    assert "tokenizer" in sentence(code, out, err)
    assert code == 1


def test_a_tokenizer_beyond_the_matrix_is_a_sentence(run: Run, tiny: Tiny, text: Path) -> None:
    code, out, err = run(tiny.model("llama", rows=300), "--text", text, "-q")
    assert "the model has only 300 embedding rows" in sentence(code, out, err)
    assert code == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["model"], ["--text", "x"], ["model", "--text", "x", "--window", "1"],
     ["model", "--text", "x", "--limit", "0"], ["model", "--text", "x", "--batch-size", "0"]],
)  # fmt: skip
def test_a_command_line_without_sense_exits_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert "Error: " in err
