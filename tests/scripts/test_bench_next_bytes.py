"""The prompts that `next_bytes.py` cuts, and what it writes of them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("next_bytes", "next_bytes_page", "next_bytes_plot")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield {name: importlib.import_module(name) for name in NAMES}


def test_cuts_lie_between_two_letters(scripts: dict[str, ModuleType]) -> None:
    assert scripts["next_bytes"].mid_words("ab c1 déf ghi".encode(), 1, 13) == [1, 12]
    assert scripts["next_bytes"].mid_words(b"abcdef", 2, 4) == [2, 3]


def law(**shares: float) -> list[float]:
    """A law over the outcomes, of letters and of the end."""
    found = [0.0] * 257
    for name, share in shares.items():
        found[256 if name == "end" else ord(name)] = share
    return found


@pytest.fixture
def prompt() -> dict[str, object]:
    laws = {
        "tokens": law(q=0.6, v=0.3, e=0.1),
        "healing": law(e=0.7, q=0.2, x=0.1),
        "bytes": law(e=0.9, end=0.1),
    }
    return {"prompt": b"a|b\n the trav".hex(), "next": ord("e"), "laws": laws}


def test_a_cell_names_what_is_likelier_than_the_byte_that_follows(
    scripts: dict[str, ModuleType], prompt: dict[str, object]
) -> None:
    page = scripts["next_bytes_page"]
    assert page.cell(prompt, "tokens") == "0.10 (`q` 0.60)"
    assert page.cell(prompt, "bytes") == "0.90"
    assert page.code(page.shown(page.tail_of(prompt))) == r"`a\|b↵ the trav`"
    assert page.sign(256) == "end"
    assert page.sign(0) == r"\x00"


def test_the_byte_that_follows_is_drawn_with_the_likeliest_of_any_method(
    scripts: dict[str, ModuleType], prompt: dict[str, object]
) -> None:
    plot = scripts["next_bytes_plot"]
    drawn = plot.chosen(prompt)
    assert drawn[0] == ord("e")
    assert set(drawn[1:]) <= {ord(one) for one in "qvx"} | {256}
    assert {ord("q"), ord("v")} < set(drawn)
    assert len(drawn) == plot.BARS
    prompt["next"] = ord("z")
    assert ord("z") in plot.chosen(prompt)


def test_the_script_runs(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    for path in (page, readme):
        path.write_text("<!-- table:next-bytes -->\n<!-- /table -->\n")
    told, picture = tmp_path / "told.json", tmp_path / "plot.svg"
    options = ["--smoke", "--json", told, "--plot", picture, "--page", page, "--readme", readme]
    scripts["next_bytes"].main([str(option) for option in options])
    prompts = json.loads(told.read_text())["prompts"]
    assert len(prompts) == len({prompt["document"] for prompt in prompts}) == 2
    for one in prompts:
        assert bytes.fromhex(one["prompt"])[-1:].isalpha()
        assert bytes([one["next"]]).isalpha()
        assert all(sum(law) == pytest.approx(1.0) for law in one["laws"].values())
    assert picture.stat().st_size > 1000
    assert "](plot.svg)" in page.read_text()
    assert page.read_text().count("english-bytebpe |") == 2
    sentence = scripts["next_bytes_page"].told({"prompts": prompts})
    assert sentence in page.read_text()
    assert sentence in readme.read_text()
    capsys.readouterr()
