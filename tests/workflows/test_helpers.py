"""Comparing methods that are fitted on text: nothing is scored that something was fitted on."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import TEXT, Tiny
from tokxfer import Focus, Wechsel, compare, transplant
from tokxfer.cli.main import main
from tokxfer.embeddings import Method, build_method
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows import corpus as corpora
from tokxfer.workflows import fitting, helpers, workbench
from tokxfer.workflows.compare_page import page
from tokxfer.workflows.corpus import TextCorpus
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.helpers import divide, find_helpers, without

pytest.importorskip("gensim", reason="needs the extra 'vectors'")
FITTED = [Focus(min_count=2), Wechsel(min_count=2)]


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fitting, "BUCKETS", 500)
    monkeypatch.setattr(corpora, "BUCKETS", 500)


def write(path: Path, documents: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": d}) + "\n" for d in documents), encoding="utf-8")
    return path


DOCUMENTS = [f"{line} {i}" for i, line in enumerate(TEXT[:7])]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write(tmp_path / "text.jsonl", DOCUMENTS)


@pytest.fixture
def pair(tiny: Tiny) -> tuple[Path, Path]:
    return tiny.model("llama"), tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Which documents each model was scored on, and which were fitted on."""
    found: dict[str, list[str]] = {}

    def score(model: Any, tokenizer: Any, documents: Any, *, name: str, **options: Any) -> Any:
        found[name] = list(documents)
        return evaluate_model(model, tokenizer, documents, name=name, **options)

    def fitted(documents: Any, *rest: Any) -> Any:
        found["fitted"] = list(documents)
        return fit_tokens(documents, *rest)

    fit_tokens = corpora.fit_tokens
    monkeypatch.setattr("tokxfer.workflows.compare.evaluate_model", score)
    monkeypatch.setattr(corpora, "fit_tokens", fitted)
    return found


def test_a_third_of_the_documents_is_split_off_and_never_scored(
    pair: tuple[Path, Path], text: Path, seen: dict[str, list[str]]
) -> None:
    found = compare(*pair, text=text, methods=[*FITTED, "mean"], seed=1)
    assert not found.skipped
    fitted = seen.pop("fitted")
    assert len(fitted) == 2
    assert len(seen) == 4
    for documents in seen.values():
        assert documents == [d for d in DOCUMENTS if d not in fitted]
    assert found.base.documents == 5
    assert found.settings["documents_split_off"] == 2
    assert "2 documents were split off" in page(found)
    for result in found.results[:2]:
        assert set(result.made.held_out) == {"tied"}


def test_methods_that_need_no_text_leave_it_whole(pair: tuple[Path, Path], text: Path) -> None:
    found = compare(*pair, text=text, methods=["mean"])
    assert found.base.documents == 7
    assert found.settings["documents_split_off"] == 0
    assert not any("split off" in remark for remark in found.remarks)


def test_a_training_text_is_fitted_on_and_all_documents_are_scored(
    pair: tuple[Path, Path], text: Path, tmp_path: Path, seen: dict[str, list[str]]
) -> None:
    train = write(tmp_path / "train.jsonl", TEXT)
    found = compare(*pair, text=text, train_text=train, methods=[Focus(min_count=2)])
    assert seen["fitted"] == TEXT
    assert seen["focus (min_count=2)"] == DOCUMENTS
    assert found.settings["train_text"]["files"] == ["train.jsonl"]
    (result,) = found.results
    done = transplant(*pair, tmp_path / "out", method=Focus(min_count=2), train_text=train)
    assert result.made.chosen == done.chosen
    assert result.made.rows == {matrix: dict(rows) for matrix, rows in done.rows.items()}


def test_what_is_scored_is_taken_out_of_the_training_text(
    pair: tuple[Path, Path], text: Path, tmp_path: Path, seen: dict[str, list[str]]
) -> None:
    train = write(tmp_path / "train.jsonl", [*TEXT, DOCUMENTS[3]])
    found = compare(*pair, text=text, train_text=train, methods=[Focus(min_count=2)])
    assert seen["fitted"] == TEXT
    assert seen["focus (min_count=2)"] == DOCUMENTS
    assert found.settings["documents_left_out"] == 1
    assert "1 document of the training text is scored too" in found.remarks[0]
    with pytest.raises(TokxferError, match="Every document of the training text is scored"):
        compare(*pair, text=text, train_text=text, methods=[Focus()])


def test_a_text_that_holds_what_is_scored_as_a_whole_is_left_out_too() -> None:
    scored = ["short line\n" + "a long line of a document, " * 4, "another short one"]
    whole = "preface\n\n" + "\n\n".join(scored)
    kept, left_out = without(TextCorpus([whole, "preface\n\nanother short one, it seems"]), scored)
    assert kept.documents == ("preface\n\nanother short one, it seems",)
    assert left_out == 1


def test_a_single_document_cannot_be_fitted_on_and_scored(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    one = write(tmp_path / "one.jsonl", [DOCUMENTS[0]] * 3)
    found = compare(*pair, text=one, methods=["focus", "wechsel", "mean"])
    assert [result.method for result in found.results] == ["mean"]
    assert found.base.documents == 3
    for method in ("focus", "wechsel"):
        assert "a single document" in found.skipped[method]
        assert "--train-text FILE" in found.skipped[method]


def test_nothing_is_split_off_where_gensim_is_missing(
    pair: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gensim" else find(name)
    )
    found = compare(*pair, text=text, methods=["focus", "wechsel", "mean"])
    assert [result.method for result in found.results] == ["mean"]
    assert found.base.documents == 7
    assert found.settings["documents_split_off"] == 0
    assert "pip install 'tokxfer[vectors]'" in found.skipped["focus"]


def test_text_in_which_nothing_is_frequent_skips_the_method(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    few = write(tmp_path / "few.jsonl", ["one two", "three four five", "six"])
    found = compare(*pair, text=few, methods=["focus", "wechsel", "mean"])
    assert [result.method for result in found.results] == ["mean"]
    assert "No token occurs 10 times" in found.skipped["focus"]
    assert "No word occurs 10 times" in found.skipped["wechsel"]


def test_a_training_text_that_no_method_uses_is_refused(
    pair: tuple[Path, Path], text: Path
) -> None:
    with pytest.raises(UsageError, match="No method of these is fitted on text"):
        compare(*pair, text=text, train_text=text, methods=["mean"])


def test_what_is_optional_is_used_where_it_is_named_and_only_there(
    pair: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    """Whatever else is compared: a method that can do without gets only what the caller names."""
    other = write(tmp_path / "other.jsonl", [f"{line} {line}" for line in TEXT[7:]] * 3)

    def tried(*methods: str | Method, **options: Any) -> set[str]:
        results = compare(*pair, text=text, methods=["auto", *methods], **options).results
        (chosen,) = (result.made.chosen for result in results if result.method == "auto")
        return {name.split()[0] for score in chosen.values() for name in score["cosines"]}

    assert "blend" in tried()
    assert tried().isdisjoint({"focus", "wechsel"})
    assert tried(FITTED[0]).isdisjoint({"focus", "wechsel"})
    assert "focus" in tried(train_text=other)


def test_methods_with_few_fitted_vectors_are_said(pair: tuple[Path, Path], text: Path) -> None:
    found = compare(*pair, text=text, methods=[Focus(min_count=4), "mean"])
    (said,) = (remark for remark in found.remarks if "fitted vector" in remark)
    counts = found.results[[r.method.split()[0] for r in found.results].index("focus")].made.chosen
    (told,) = counts.values()
    whole = told["seen"] + told["unseen"]
    assert f"only {told['seen']:,} of {whole:,} missing tokens" in said
    assert told["seen"] < whole / 2


def test_fitting_is_done_before_the_clock(
    pair: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*told: Any) -> Any:
        time.sleep(1.0)
        assert bytearray(b"x" * 80_000_000)  # touched, and freed
        return fit_tokens(*told)

    fit_tokens = corpora.fit_tokens
    monkeypatch.setattr(corpora, "fit_tokens", slow)
    found = compare(*pair, text=text, methods=[FITTED[0], "mean"])
    made = {result.method.split()[0]: result.made for result in found.results}
    assert made["focus"].preparing_seconds >= max(1, made["focus"].seconds)
    assert made["mean"].preparing_seconds == 0
    assert made["mean"].preparing_bytes == 0
    told = found.to_dict()["results"]
    assert {result["preparing_bytes"] for result in told} == {
        m.preparing_bytes for m in made.values()
    }
    (remark,) = (remark for remark in found.remarks if "Before the clock" in remark)
    assert f"focus (min_count=2) {made['focus'].preparing_seconds:.1f} s" in remark
    if sys.platform == "linux":
        assert made["focus"].preparing_bytes is not None
        assert made["focus"].preparing_bytes > 80_000_000
        assert f"and {made['focus'].preparing_bytes / 1e6:,.0f} MB" in remark


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_that_making_the_rows_took_is_counted(
    pair: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*told: Any) -> Any:
        assert bytearray(b"x" * 80_000_000)
        return solve_all(*told)

    solve_all = workbench.solve_all
    monkeypatch.setattr(workbench, "solve_all", hungry)
    (result,) = compare(*pair, text=text, methods=["mean"]).results
    assert result.made.extra_bytes is not None
    assert result.made.extra_bytes > 80_000_000
    assert result.made.preparing_bytes == 0
    assert result.to_dict()["extra_bytes"] == result.made.extra_bytes


def test_a_training_text_that_cannot_be_read_is_said_before_any_work(
    pair: tuple[Path, Path], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokxfer.workflows.compare.load_model", None)
    with pytest.raises(TokxferError, match=r"none\.txt does not exist"):
        compare(*pair, text=text, train_text=tmp_path / "none.txt", methods=["focus"])


@pytest.mark.parametrize("count", [2, 3, 10, 31])
def test_copies_of_a_document_go_to_one_side(count: int) -> None:
    documents = [f"text {i % count}" for i in range(3 * count)]
    scored, training = divide(documents, 0)
    assert not set(scored) & set(training)
    assert sorted([*scored, *training]) == sorted(documents)
    assert len(set(training)) == max(1, round(count / 3))


def test_other_seeds_split_other_documents_off() -> None:
    documents = [f"text {i}" for i in range(30)]
    assert divide(documents, 0) == divide(documents, 0)
    assert divide(documents, 0) != divide(documents, 1)


def test_a_method_is_told_what_it_lacks_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise UsageError("no gensim")

    monkeypatch.setattr(helpers, "check_gensim", missing)
    methods = [Focus(), build_method("mean")]
    found = find_helpers(methods, ["a", "b"], None, None, seed=0, progress=False)
    found.check(build_method("mean"))
    with pytest.raises(UsageError, match="no gensim"):
        found.check(Focus())


def test_the_command_says_what_was_split_off(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = write(tmp_path / "many.jsonl", [f"{line} {line} {i}" for i, line in enumerate(TEXT)])
    words = ["compare", *pair, "--text", many, "-m", "focus", "-m", "mean"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert "documents were split off" in err
    assert "focus" in out
