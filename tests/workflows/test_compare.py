"""Comparing methods: figures are those of transplants made one by one, and wins are real."""

from __future__ import annotations

import importlib.util
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.families import byte_level_groups, sentencepiece_bpe
from tests.tiny import Tiny
from tokxfer import OMP, compare, evaluate, transplant
from tokxfer.cli.main import main
from tokxfer.embeddings import REGISTRY, Gaussian, build_method, heldout
from tokxfer.errors import FolderError, TokxferError, UnsupportedError, UsageError
from tokxfer.workflows import comparison
from tokxfer.workflows.compare import labelled
from tokxfer.workflows.compare_page import check_report, page, write_report
from tokxfer.workflows.comparison import Compared, ComparisonReport, judge
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.evaluation import Evaluation, Ratio
from tokxfer.workflows.memory import MemoryPeak

PLAIN = ["subword", "mean", "zero"]


def uninstall(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let a package look as if it were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else find(name)
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "text.jsonl"
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "42", "birds;", "naïve", "café"]
    documents = [" ".join(words[i:] + words[:i]) * (1 + i % 3) for i in range(len(words))]
    path.write_text("".join(json.dumps({"text": d}) + "\n" for d in documents))
    return path


@pytest.fixture(scope="module")
def report(tiny: Tiny, text: Path) -> ComparisonReport:
    base = tiny.model("llama", tied=False)
    donor = tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)
    return compare(base, donor, text=text, methods=[*PLAIN, OMP(k=4), "linear"], seed=3)


@pytest.mark.parametrize("tied", [True, False])
def test_figures_are_those_of_a_transplant_and_an_evaluation(
    tiny: Tiny, text: Path, tmp_path: Path, tied: bool
) -> None:
    base, donor = tiny.model("llama", tied=tied), tiny.model("gpt2", tokenizer="unigram", seed=5)
    found = compare(base, donor, text=text, methods=["subword", "omp", "gaussian"], seed=2)
    assert len(found.results) == 3
    for result in found.results:
        out = tmp_path / result.method
        done = transplant(base, donor, out, method=result.method, seed=2)
        (alone,) = evaluate(out, text=text, against=base).to_dict()["results"]
        assert result.evaluation.bits_per_byte == pytest.approx(alone["bits_per_byte"], rel=1e-5)
        assert result.ratio.value == pytest.approx(alone["ratio"], rel=1e-5)
        assert result.ratio.stderr == pytest.approx(alone["ratio_stderr"], rel=1e-3)
        assert result.made.rows == {matrix: dict(rows) for matrix, rows in done.rows.items()}
    (base_alone,) = evaluate(base, text=text).to_dict()["results"]
    assert found.base.bits_per_byte == pytest.approx(base_alone["bits_per_byte"], rel=1e-6)


@pytest.mark.parametrize("option", ["twins", "keep_digits"])
def test_options_of_a_transplant_are_those_of_a_comparison(
    tiny: Tiny, text: Path, option: str
) -> None:
    base = tiny.model("llama", tokenizer=of_family(tiny, byte_level_groups()), tied=False)
    donor = tiny.model("llama", tokenizer=of_family(tiny, sentencepiece_bpe()), seed=5)
    compared_as_transplanted(
        tiny, base, donor, text, {option: "mean" if option == "twins" else True}
    )


def test_a_comparison_may_learn_from_undertrained_rows(
    tiny: Tiny, text: Path, models: Path
) -> None:
    """On real models: random ones have no rows that training left alone."""
    pair = models / "code-bytebpe", models / "english-spbpe"
    compared_as_transplanted(tiny, *pair, text, {"trust_undertrained": True})


def compared_as_transplanted(
    tiny: Tiny, base: Path, donor: Path, text: Path, option: dict[str, Any]
) -> None:
    plain = compare(base, donor, text=text, methods=["knn"]).results[0].evaluation
    found = compare(base, donor, text=text, methods=["knn"], **option)
    out = tiny.fresh()
    done = transplant(base, donor, out, method="knn", **option)
    (alone,) = evaluate(out, text=text).to_dict()["results"]
    (told,) = found.results
    assert told.evaluation.bits_per_byte == pytest.approx(alone["bits_per_byte"], rel=1e-5)
    assert told.made.rows == {matrix: dict(counts) for matrix, counts in done.rows.items()}
    assert told.evaluation.bits_per_byte != pytest.approx(plain.bits_per_byte, rel=1e-6)
    assert option.items() <= found.settings.items()


def of_family(tiny: Tiny, tokenizer: Tokenizer) -> Path:
    folder = tiny.fresh()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    return folder


def test_results_come_best_first_with_all_that_was_measured(report: ComparisonReport) -> None:
    ratios = [result.ratio.value for result in report.results]
    assert ratios == sorted(ratios)
    assert {result.method for result in report.results} == {*PLAIN, "omp (k=4)", "linear"}
    by_name = {result.method: result for result in report.results}
    assert by_name["omp (k=4)"].made.options["k"] == 4
    assert by_name["mean"].made.held_out["input"].relative_error == pytest.approx(1, abs=0.1)
    assert report.undertrained.keys() == {"input", "output"}
    for counts in report.undertrained.values():
        assert counts.keys() == {"base", "donor"}
    for result in report.results:
        assert set(result.made.held_out) == {"input", "output"}
        assert result.made.seconds > 0
        cosines = [cosine for _, cosine in result.made.worst["input"]]
        assert cosines == sorted(cosines)
    assert 0 < report.coverage < 1
    assert 0 < report.text_coverage <= 1


def test_every_method_is_tried_and_what_cannot_run_is_said(
    tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch, "sentence_transformers")
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram") / "tokenizer.json"
    found = compare(base, donor, text=text, limit=4)
    tried = {result.method for result in found.results}
    assert tried | set(found.skipped) == set(REGISTRY) - {"auto"}
    assert {"omp", "knn", "linear", "procrustes"} <= set(found.skipped)
    assert "needs the donor's weights" in found.skipped["omp"]
    assert "pip install 'tokxfer[encoder]'" in found.skipped["tokenadapt-hybrid"]
    assert {"subword-uniform", "mean"} <= tried


def test_all_methods_hide_the_same_tokens(
    tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    hide = heldout.hide
    monkeypatch.setattr(heldout, "hide", lambda *a: (seen.append(hide(*a)), seen[-1])[1])
    base, donor = tiny.model("llama"), tiny.model("gpt2", tokenizer="unigram", seed=5)
    compare(base, donor, text=text, methods=["subword", "linear", "mean"], limit=2)
    assert len(seen) == 3
    assert all(seen[0].missing.tolist() == other.missing.tolist() for other in seen)


def test_one_method_with_two_settings_has_two_names(report: ComparisonReport) -> None:
    both = labelled([OMP(k=4), OMP(k=8, tune=False), OMP(), build_method("mean")])
    assert list(both) == ["omp (k=4)", "omp (k=8, tune=False)", "omp", "mean"]
    with pytest.raises(UsageError, match="'mean' is given twice"):
        labelled([build_method("mean"), build_method("mean")])


def test_a_donor_whose_weights_cannot_be_read_still_has_a_tokenizer(tiny: Tiny, text: Path) -> None:
    base, donor = tiny.model("llama"), tiny.copy(tiny.model("gpt2", tokenizer="unigram", seed=5))
    (donor / "model.safetensors").rename(donor / "pytorch_model.bin")
    found = compare(base, donor, text=text, methods=["omp", "subword"], limit=2)
    assert [result.method for result in found.results] == ["subword"]
    assert "can run code when loaded" in found.skipped["omp"]
    with pytest.raises(UnsupportedError, match="can run code when loaded"):
        compare(base, donor, text=text, methods=["omp"], limit=2)


def test_a_method_whose_model_cannot_be_scored_does_not_stop_the_others(
    tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: object, *args: object, name: str, **options: object) -> Evaluation:
        if name == "mean":
            raise TokxferError("mean gives no number.", "Try something else.")
        return evaluate_model(model, *args, name=name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("tokxfer.workflows.compare.evaluate_model", fail)
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    found = compare(base, donor, text=text, methods=["mean", "subword"], limit=2)
    assert [result.method for result in found.results] == ["subword"]
    assert found.skipped == {"mean": "mean gives no number. Try something else."}


def test_an_encoder_that_is_named_wrongly_is_said_before_any_work(
    tiny: Tiny, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokxfer.workflows.compare.evaluate_model", None)
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    with pytest.raises(FolderError, match="does not exist"):
        compare(base, donor, text=text, encoder=tmp_path / "none")


def test_what_is_hidden_does_not_depend_on_what_else_is_compared(text: Path, models: Path) -> None:
    """On real models, whose donor left some rows alone."""
    pair = models / "english-spbpe", models / "english-bytebpe"
    told = []
    for other in ("mean", "procrustes"):
        found = compare(*pair, text=text, methods=["subword", other], limit=1)
        (made,) = (result.made for result in found.results if result.method == "subword")
        told.append((made.held_out, found.undertrained))
    assert told[0] == told[1]
    assert told[0][1]["input"]["donor"] > 0


def test_rows_that_are_no_numbers_leave_the_other_methods_alone(tiny: Tiny, text: Path) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    found = compare(base, donor, text=text, methods=[Gaussian(1e38), Gaussian(1e30), "mean"])
    assert [result.method for result in found.results] == ["mean"]
    assert set(found.skipped) == {"gaussian (scale=1e+38)", "gaussian (scale=1e+30)"}
    assert all("not finite" in reason for reason in found.skipped.values())


def test_an_encoder_that_no_method_uses_is_refused(tiny: Tiny, text: Path) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    with pytest.raises(UsageError, match="No method of these needs a text encoder"):
        compare(base, donor, text=text, methods=["mean"], encoder="none")


def test_an_encoder_is_opened_for_a_method_that_can_do_without(tiny: Tiny, text: Path) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("unigram")
    with pytest.raises(FolderError, match="does not exist"):
        compare(base, donor, text=text, methods=["auto"], encoder=tiny.root / "none")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"methods": []}, "at least one method"), ({"text": []}, "one text"), ({"limit": 0}, "limit")],
)
def test_a_comparison_of_nothing_is_refused(
    tiny: Tiny, text: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        compare(tiny.model("llama"), tiny.tokenizer("unigram"), **{"text": text, **options})  # type: ignore[arg-type]


# ---- who wins


def measured(method: str, nats: list[float]) -> Compared:
    counts = np.full(len(nats), 100)
    evaluation = Evaluation(method, np.array(nats), counts, counts, 0, 0, 0, 8, 0, 0.0)
    return Compared(method, None, evaluation, Ratio(1.0, None))  # type: ignore[arg-type]


def test_a_difference_smaller_than_its_error_is_no_win() -> None:
    noise = np.random.default_rng(0).standard_normal(40)
    base = measured("base", [100.0] * 40).evaluation
    best = measured("best", list(110 + noise))
    close = measured("close", list(110.1 + 3 * noise[::-1]))
    worse = measured("worse", list(115 + noise[::-1]))
    verdict = judge(base, (close, worse, best), seed=0)
    assert verdict is not None
    assert verdict.method in ("best", "close")
    other = {"best": "close", "close": "best"}[verdict.method]
    assert verdict.equal == (other,)
    assert verdict.better == ()
    assert verdict.others == 2


def test_a_method_that_wins_the_other_half_is_named() -> None:
    base = measured("base", [100.0] * 16).evaluation
    order = np.random.default_rng(0).permutation(16)
    first, steady = np.full(16, 120.0), np.full(16, 110.0) + np.arange(16) / 100
    first[order[:8]] = 101
    verdict = judge(base, (measured("steady", list(steady)), measured("first", list(first))), 0)
    assert verdict is not None
    assert (verdict.method, verdict.better, verdict.equal) == ("first", ("steady",), ())


def test_a_small_difference_is_a_win_where_both_share_the_noise_of_the_documents() -> None:
    noise = 20 * np.random.default_rng(0).standard_normal(40)
    base = measured("base", [100.0] * 40).evaluation
    best = measured("best", list(110 + noise))
    verdict = judge(base, (best, measured("worse", list(111 + noise))), seed=0)
    assert verdict is not None
    assert (verdict.method, verdict.better, verdict.equal) == ("best", (), ())
    unpaired = measured("unpaired", list(111 + noise[::-1]))
    every = np.arange(40)
    assert comparison.sign(unpaired, best, base, every) == 0
    assert comparison.sign(measured("worse", list(111 + noise)), best, base, every) == 1
    assert comparison.sign(best, measured("worse", list(111 + noise)), base, every) == -1


def test_the_choice_and_the_verdict_are_on_different_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[int]] = []
    over = comparison.over
    monkeypatch.setattr(
        comparison,
        "over",
        lambda m, b, part: (seen.append(set(part.tolist())), over(m, b, part))[1],
    )
    base = measured("base", [100.0] * 11).evaluation
    verdict = judge(base, (measured("one", [float(x) for x in range(101, 112)]),), seed=1)
    assert verdict is not None
    first, second = seen
    assert not first & second
    assert first | second == set(range(11))
    assert verdict.ratio == pytest.approx(np.mean([1.01 + 0.01 * i for i in second]))


def test_too_few_documents_give_no_verdict() -> None:
    base = measured("base", [1.0] * 7).evaluation
    assert judge(base, (measured("one", [2.0] * 7),), seed=0) is None


# ---- what is written


class Outside(HTMLParser):
    """Whatever a page would fetch from elsewhere, and the tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.cells = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.cells += tag == "td"
        for name, value in attributes:
            if name in ("src", "href", "data") and not (value or "").startswith("#"):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_page_needs_nothing_beside_it(report: ComparisonReport) -> None:
    text = page(report)
    reader = Outside()
    reader.feed(text)
    assert reader.fetched == []
    assert reader.cells > 10 * len(report.results)
    assert text.count("<svg") == 2
    assert all(f"<td>{result.method}</td>" in text for result in report.results)


def test_tokens_cannot_write_html(report: ComparisonReport) -> None:
    import dataclasses

    first = report.results[0]
    made = dataclasses.replace(first.made, worst={"input": (("<script>alert(1)</script>", 0.1),)})
    evil = dataclasses.replace(report, results=(dataclasses.replace(first, made=made),))
    assert "<script" not in page(evil)
    assert "&lt;script&gt;" in page(evil)


def test_a_report_is_written_whole_and_replaced_only_by_force(
    report: ComparisonReport, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    write_report(report, out)
    assert {entry.name for entry in out.iterdir()} == {"report.json", "report.html"}
    document = json.loads((out / "report.json").read_text())
    assert document == json.loads(json.dumps({"schema_version": 1, **report.to_dict()}))
    with pytest.raises(FolderError, match="exists already"):
        write_report(report, out)
    write_report(report, out, force=True)


def test_plots_without_matplotlib_are_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch, "matplotlib")
    with pytest.raises(UsageError, match="need matplotlib"):
        check_report(tmp_path / "new", force=False)


# ---- the command


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["compare", *map(str, words)])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_the_command_prints_one_document(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("wordpiece")
    words = [base, donor, "--text", text, "-m", "subword", "-m", "omp", "--json"]
    status, out, _ = run(capsys, *words)
    assert status == 0
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert document["base"]["bits_per_byte"] > 0
    (result,) = document["results"]
    assert {"method", "bits_per_byte", "ratio", "stderr", "seconds"} <= result.keys()
    (skipped,) = document["skipped"]
    assert skipped["method"] == "omp"
    status, out, _ = run(capsys, *words[:-1], "-q")
    assert status == 0
    assert "Not tried: omp. The method 'omp' needs the donor's weights" in out


def test_the_command_prints_a_table_and_writes_a_report(
    tiny: Tiny, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, donor = tiny.model("llama", tied=False), tiny.model("gpt2", tokenizer="unigram", seed=5)
    words = [base, donor, "--text", text, "-m", "subword", "-m", "mean", "--report", tmp_path / "r"]
    status, out, err = run(capsys, *words)
    assert status == 0
    assert next(line.split()[0] for line in out.splitlines()[2:5]) == "(base)"
    assert "cosine, output" in out
    assert "Best on half of the documents" in out
    assert "report.html" in err
    assert (tmp_path / "r" / "report.html").stat().st_size > 5000
    status, _, err = run(capsys, *words)
    assert status == 1
    assert "exists already" in err


def test_options_follow_a_methods_name(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tiny.model("llama"), tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)
    asked = ("omp:k=3,tune=false,selection=raw", "knn:k=2,weights=distance", "omp")
    words = [word for method in asked for word in ("-m", method)]
    status, out, _ = run(capsys, *models, "--text", text, *words, "--json")
    assert status == 0
    made = {result["method"]: result["options"] for result in json.loads(out)["results"]}
    assert set(made) == {
        "omp (k=3, selection=raw, tune=False)",
        "knn (k=2, weights=distance)",
        "omp",
    }
    assert made["omp (k=3, selection=raw, tune=False)"]["selection"] == "raw"
    for wrong, said in {
        "omp:k": "an option without a value: 'k'",
        "omp:size=3": "has no option 'size'",
        "omp:k=8,k=9": "has the option 'k' twice",
        "pmo:k=3": "There is no method 'pmo'",
        "omp:k=many": "k of omp is 'many'; it must be a whole number",
        "knn:k=2.5": "k of knn is 2.5",
    }.items():
        status, out, err = run(capsys, *models, "--text", text, "-m", wrong)
        assert status == 2
        assert said in err
        assert not out


@pytest.mark.parametrize("place", ["base", "around", "text"])
def test_a_report_never_replaces_what_was_compared(
    tiny: Tiny, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    base, donor = tiny.copy(tiny.model("llama")), tiny.tokenizer("unigram")
    report = {"base": base, "around": base.parent, "text": text}[place]
    words = [base, donor, "--text", text, "-m", "mean", "--report", report, "--force"]
    status, _, err = run(capsys, *words)
    assert status == 1
    assert "input" in err or "is a file" in err
    assert (base / "model.safetensors").is_file()
    assert text.is_file()


def test_one_method_alone_beats_nobody(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [tiny.model("llama"), tiny.tokenizer("wordpiece"), "--text", text, "-m", "mean"]
    status, out, err = run(capsys, *words)
    assert status == 0
    assert "Best on half of the documents: mean" in out
    assert "better than" not in out
    assert "does not give back" in err  # WordPiece without a token for every byte


@pytest.mark.parametrize("form", [["--json"], ["-q"]], ids=["json", "quiet"])
def test_a_comparison_in_which_nothing_could_be_tried_has_failed(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    words = [tiny.model("llama"), tiny.tokenizer("unigram"), "--text", text, "-m", "omp"]
    status, out, err = run(capsys, *words, *form, "--report", tiny.root / "no-report")
    assert status == 1
    assert "None of the methods could be tried. omp: " in err
    assert not (tiny.root / "no-report").exists()
    if form == ["--json"]:
        document = json.loads(out)
        assert document["results"] == []
        assert document["skipped"][0]["method"] == "omp"


def test_too_few_documents_for_a_verdict_are_said(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [tiny.model("llama"), tiny.tokenizer("unigram"), "--text", text, "-m", "mean"]
    status, _, err = run(capsys, *words, "--limit", 3)
    assert status == 0
    assert "No method is called the best: 3 documents were scored, and 8 are the least" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "ompp"], "There is no method 'ompp'"),
        (["--text", "missing.jsonl"], "missing.jsonl does not exist"),
    ],
)
def test_wrong_input_is_one_sentence(
    tiny: Tiny, text: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("wordpiece")
    status, out, err = run(capsys, base, donor, "--text", text, *words)
    assert status in (1, 2)
    assert said in err
    assert not out


def test_text_that_is_not_utf8_or_empty_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    base, donor = tiny.model("llama"), tiny.tokenizer("wordpiece")
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.txt").write_text("")
    for name in ("broken.txt", "empty.txt"):
        with pytest.raises(TokxferError, match=name):
            compare(base, donor, text=tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_what_was_taken_beyond_what_was_held() -> None:
    with MemoryPeak(torch.device("cpu")) as peak:
        taken = torch.ones(50_000_000)
        taken += 1
        del taken
    assert peak.extra_bytes is not None
    assert 120_000_000 < peak.extra_bytes < 400_000_000  # what was held may shrink meanwhile


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_that_an_earlier_step_freed_is_counted_again() -> None:
    taken = []
    for _ in range(2):
        with MemoryPeak(torch.device("cpu")) as peak:
            small = [bytearray(50_000) for _ in range(2_000)]  # kept by the allocator when freed
            del small
        taken.append(peak.extra_bytes)
    assert taken[0] is not None
    assert taken[1] is not None
    assert taken[1] > taken[0] / 2 > 30_000_000
