"""The benchmarks of distillation train alike, choose rates unseen, and leave blank what lacks."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from tests.tiny import Tiny
from tokxfer.errors import TokxferError

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module of the benchmark as the script does, by its bare name."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("scripts", "scripts/bench"):
            patch.syspath_prepend(str(ROOT / folder))
        yield importlib.import_module
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def spec(tiny: Tiny) -> str:
    """A tiny base that gets the tokenizer of another, taught by itself."""
    base, donor = tiny.model("llama", tokenizer="spbpe"), tiny.model("llama", tokenizer="bytebpe")
    return f"{base}:{base}+{donor}"


def call(script: ModuleType, *arguments: str) -> str:
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()):
        script.main([*arguments])
    return output.getvalue()


def kept(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.glob("*.json")}


def test_the_smoke_run_fills_the_page_and_goes_on_where_it_stopped(
    load: Load, spec: str, tmp_path: Path
) -> None:
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    for file in (page, readme):
        file.write_text("<!-- table:distill -->\n<!-- /table -->\n")
    told = ("--smoke", "--cache", str(tmp_path / "cache"), "--pairs", spec, "--json")
    told = (*told, str(tmp_path / "all.json"), "--page", str(page), "--readme", str(readme))
    first = call(load("distill"), *told)
    found = json.loads((tmp_path / "all.json").read_text("utf-8"))["pairs"][0]["objectives"]
    assert list(found) == ["alm", "sft"]
    for one in found.values():
        assert list(one["rates"]) == ["1", "0.3"]
        assert list(one["runs"]) == ["0", "1"]
        assert all(0 <= run["agreement"] <= 1 and run["cpu_seconds"] > 0
                   for run in one["runs"].values())  # fmt: skip
    rows = [one["runs"][seed]["data"] for one in found.values() for seed in "01"]
    assert rows[:2] == rows[2:], "both objectives see the same text"
    assert first.strip() in page.read_text("utf-8")
    assert "| `alm` |" in readme.read_text("utf-8")
    before = kept(tmp_path / "cache")
    assert call(load("distill"), *told).splitlines()[2:] == first.splitlines()[2:]
    assert kept(tmp_path / "cache") == before
    more = call(load("distill"), *told, "--kept", "--objectives", "alm", "gold")
    assert "| `gold` |  |" in more
    assert "2 of 4 trainings are not measured yet: what rests on them is left blank" in more
    assert kept(tmp_path / "cache") == before


def test_recovery_is_told_by_steps_and_drawn(load: Load, spec: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table:recovery -->\n<!-- /table -->\n")
    base, donor = spec.split(":")[0], spec.split("+")[-1]
    output = call(
        load("recovery"), "--smoke", "--cache", str(tmp_path / "cache"), "--seeds", "0",
        "--pairs", f"{base}:{donor}", "--page", str(page), "--plot", str(tmp_path / "it.svg"),
    )  # fmt: skip
    text = page.read_text("utf-8")
    assert output.splitlines()[0] in text
    assert "| 0 steps | objective | 2 steps |" in text
    assert "300 steps are not measured yet." in text
    assert "](it.svg)" in text
    assert "<svg" in (tmp_path / "it.svg").read_text("utf-8")


class Fake:
    """A study whose trainings are known."""

    only_kept = True

    def __init__(self, develop: dict[float, float | None]) -> None:
        self.develop, self.runs = develop, list[Any]()

    def run(self, run: Any) -> dict[str, Any] | None:
        self.runs.append(run)
        if self.develop[run.rate] is None:
            return None
        return {"develop": self.develop[run.rate], "bits_per_byte": -run.rate}


def test_the_rate_is_the_best_on_development_text_of_the_first_seed(load: Load) -> None:
    options = SimpleNamespace(rates=[1.0, 0.3, 3.0], seeds=[5, 6], steps=7)
    one = Fake({1.0: 2.0, 0.3: 1.9, 3.0: 2.5})  # on the judged text, 3.0 would be
    found = load("distill").objective_of(one, "alm", options)
    assert found["rate"] == 0.3
    assert list(found["runs"]) == ["5", "6"]
    assert [(run.rate, run.seed) for run in one.runs] == [(1.0, 5), (0.3, 5), (3.0, 5), (0.3, 6)]


def test_a_rate_out_of_few_is_told_as_such(load: Load) -> None:
    options = SimpleNamespace(rates=[1.0, 0.3], seeds=[0], steps=7)
    found = load("distill").objective_of(Fake({1.0: 2.0, 0.3: None}), "alm", options)
    assert load("distill_page").chosen(found, 2) == "1 (of 1 tried)"
    found = load("distill").objective_of(Fake({1.0: 2.0, 0.3: 1.0}), "alm", options)
    assert load("distill_page").chosen(found, 2) == "0.3"
    found = load("distill").objective_of(Fake({1.0: None, 0.3: None}), "alm", options)
    assert (found["rate"], found["runs"]) == (None, {})


def test_a_student_that_cannot_be_made_is_left_out_by_a_sentence(load: Load) -> None:
    class Broken:
        pair = SimpleNamespace(name="a ← bytes", text="English")
        text = SimpleNamespace(judged=["x"])

        def before(self) -> None:
            raise TokxferError("Nobody knows how.")

    found = load("distill").study(Broken(), SimpleNamespace(objectives=["alm"]))
    page = load("distill_page")
    assert page.headline(found) == "**a ← bytes**, English text is left out: Nobody knows how."


def test_a_difference_is_paired_by_seed_and_by_document(load: Load) -> None:
    share = load("distill_share")
    others = {"0": {"nats": [10.0, 30.0]}, "1": {"nats": [12.0, 31.0]}, "2": {"nats": [9.0, 9.0]}}
    runs = {seed: {"nats": [value - 1 for value in others[seed]["nats"]]} for seed in "01"}
    found = share.difference(runs, others, [8, 8])
    assert found.value == pytest.approx(-2 / 16 / math.log(2))
    assert found.stderr == pytest.approx(0)
    runs["1"]["nats"][0] -= 3
    found = share.difference(runs, others, [8, 8])
    assert found.value == pytest.approx(-7 / 32 / math.log(2))
    # over seeds 2 and 5 of 16 bytes; over documents 5 and 2 of 16 bytes: the same spread
    assert found.stderr == pytest.approx(1.5 / 16 / math.log(2) * math.sqrt(2))
    assert share.difference(runs, {}, [8, 8]) is None


def test_a_model_agrees_with_itself_and_bytes_add_up(load: Load, tiny: Tiny) -> None:
    judge, runs = load("distill_judge"), load("distill_runs")
    member = runs.load(tiny.model("llama", tokenizer="spbpe"))
    other = runs.load(tiny.model("llama", tokenizer="bytebpe", seed=1))
    table = judge.first_bytes(member)
    assert table.sum(1).tolist() == [1.0] * len(table)
    vocabulary = member.vocabulary
    assert table[vocabulary.roles["eos"], judge.NO_BYTE] == 1
    assert table[vocabulary.encode(" the")[0], ord(" ")] == 1
    texts = ["The dog sleeps, the fox runs on and on."] * 3
    assert judge.beside(member, member, texts) == {"gap": 0.0, "agreement": 1.0}
    found = judge.beside(member, other, texts)
    assert found["agreement"] < 1
    assert found["gap"] > 0


def test_rows_of_a_byte_student_are_longer_or_more(load: Load) -> None:
    pairs = load("distill_pairs")
    one = pairs.Pair.of("english-spbpe:english-spbpe+bytes:code")
    assert (one.donor, one.text, one.times) == ("bytes", "code", 4)
    assert one.name == "english-spbpe ← bytes"
    other = pairs.Pair.of("code-bytebpe:english-spbpe+english-bytebpe")
    assert other.name == "code-bytebpe → english-spbpe ← english-bytebpe"
    assert (other.text, other.times) == ("English", 1)
    assert pairs.Pair.of("code-bytebpe:english-unigram").name == "code-bytebpe → english-unigram"
    with pytest.raises(SystemExit, match="There is no model 'absent'"):
        pairs.Pair.of("absent:english-spbpe")


def test_options_of_an_objective_are_read_off_its_name(load: Load) -> None:
    runs = load("distill_runs")
    found = runs.objective_of("byte-kl:share=0.125,kind=jsd")
    assert (found.name, found.share, found.kind) == ("byte-kl", 1 / 8, "jsd")
    assert runs.objective_of("byte-kl").share == 1
    assert runs.objective_of("uld:aligned=true").aligned is True


def test_says_where_training_text_is_looked_for(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no training text in .*absent"):
        load("distill").main(["--corpus", str(tmp_path / "absent"), "--cache", str(tmp_path)])


def test_half_of_the_gap_is_read_off_the_curves(load: Load) -> None:
    page = load("recovery_page")
    before = {"nats": [20.0, 20.0], "teacher": {"nats": [10.0, 10.0]}}
    curve = {"pair": "a ← b", "start": "mean", "objective": "alm", "before": before}
    runs = {"0": {"nats": [12.0, 12.0]}, "1": {"nats": [16.0, 16.0]}}
    curves = [curve | {"points": {"300": runs}}, curve | {"points": {"300": {}}}]
    assert page.closed(curves[0], "300").value == pytest.approx(0.6)
    assert page.closed(curves[1], "300") is None
    told = page.verdict({"curves": curves})
    assert told.startswith("By 300 steps at least half of the gap is closed on 1 of 1 ways: 60%")


def test_trainings_by_other_sources_are_counted(load: Load) -> None:
    page, runs = load("distill_page"), load("distill_runs")
    assert runs.sources("alm") != runs.sources("sft")
    assert runs.sources("alm:tau=1") == runs.sources("alm")
    found = {"alm": {"runs": {"0": {"sources": "a"}, "1": {"sources": "b"}}}}
    document = {"pairs": [{"objectives": found}], "sources": {"alm": "a"}}
    assert page.stale(document).startswith("1 of 2 trainings were run by another state")
    assert page.stale(document | {"pairs": []}) == ""
