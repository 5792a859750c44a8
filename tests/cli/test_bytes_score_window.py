"""`tokxfer bytes score --window`."""

from __future__ import annotations

import json

import pytest

from tests.tiny import TEXT, Tiny
from tokxfer.cli.main import main


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["bytes", "score", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_the_window_changes_what_a_byte_sees(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, figures = tiny.model("llama"), []
    for more in ([], ["--window", 8]):
        code, out, _ = told(capsys, folder, TEXT[0], "--json", *more)
        assert code == 0
        figures.append(json.loads(out)["results"][0])
    assert [result["window"] for result in figures] == [128, 8]
    assert figures[0]["bits_per_byte"] != figures[1]["bits_per_byte"]
    code, _, err = told(capsys, folder, "dog", "--window", 8, "-v")
    assert code == 0
    assert "windows of 8 tokens" in " ".join(err.split())


@pytest.mark.parametrize(
    ("window", "code", "sentence"),
    [(1, 2, "1 is not in the range x>=2"), (129, 2, "A window of 129 tokens is longer than the")],
)
def test_windows_that_make_no_sense_are_refused(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], window: int, code: int, sentence: str
) -> None:
    found, out, err = told(capsys, tiny.model("llama"), "dog", "--window", window)
    assert (found, out) == (code, "")
    assert sentence in " ".join(err.split())
