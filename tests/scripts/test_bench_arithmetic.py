"""The probe of arithmetic trains, transplants and counts as it says."""

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

import tokxfer as tx

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = "Once upon a time there was a girl who lived in a house near the forest. " * 40
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports a module of the benchmark as the script does, by its bare name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module


@pytest.fixture(scope="module")
def first(load: Load, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """What a smoke run printed, the JSON that it wrote, and its folder."""
    folder = tmp_path_factory.mktemp("arithmetic")
    (folder / "page.md").write_text("<!-- table:arithmetic -->\n<!-- /table -->\n")
    arguments = [
        *("--smoke", "--methods", "mean", "--cache", str(folder / "cache")),
        *("--json", str(folder / "all.json"), "--page", str(folder / "page.md")),
    ]
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()):
        load("arithmetic").main(arguments)
    return output.getvalue(), json.loads((folder / "all.json").read_text("utf-8")), folder


@pytest.mark.slow
def test_both_directions_are_measured_with_and_without_the_digits(first: Any) -> None:
    _, document, _ = first
    assert [(run["base"], run["method"], run["kept"]) for run in document["runs"]] == [
        (base, method, kept)
        for base in ("single digits", "groups of three")
        for method, kept in ((None, None), ("mean", False), ("mean", True))
    ]
    for run in document["runs"]:
        assert 0 <= run["accuracy"] <= 1
        assert 0 < run["bits_per_byte"] < 40


@pytest.mark.slow
def test_the_table_goes_to_the_page_with_what_was_run(first: Any) -> None:
    output, document, folder = first
    assert output.strip() in (folder / "page.md").read_text("utf-8")
    assert "scripts/bench/arithmetic.py --smoke" in output
    assert "seeds 0, 1 threads" in output
    base = f"{document['runs'][0]['bits_per_byte']:.3f}"
    assert "| single digits ← groups of three | *base* | " in output
    assert f" |  | {base} |  |" in output


@pytest.mark.slow
def test_trained_models_are_kept(load: Load, first: Any) -> None:
    _, _, folder = first
    models = load("arithmetic_models")
    english = (ROOT / "models" / "held_out.txt").read_text(encoding="utf-8")
    task = models.Task(100, 1000, 4_000, english)
    kept = {path.name for path in (folder / "cache").iterdir()}
    assert len(kept) == 2
    assert models.trained("single digits", 0, task, folder / "cache", 1).name in kept


def test_the_two_tokenizers_cut_numbers_as_their_names_say(load: Load) -> None:
    models = load("arithmetic_models")
    policies = {
        name: tx.ByteVocabulary.from_tokenizer(models.tokenizer(name, ENGLISH)).digits
        for name in models.DIGITS
    }
    assert policies == {"single digits": "single", "groups of three": "groups of three"}
    groups = models.tokenizer("groups of three", ENGLISH)
    for text in ("188", "901", "47", "7"):
        assert groups.encode(text).tokens == [text]


def test_held_out_sums_are_never_trained_on(load: Load) -> None:
    models = load("arithmetic_models")
    task = models.Task(12, 40, 1000, ENGLISH)
    seen, held_out = task.pairs()
    assert len(seen) + len(held_out) == 144
    stream = models.texts(task, 3)
    sums = {text for text in (next(stream) for _ in range(3000)) if "=" in text}
    assert {f"{a}+{b}={a + b}." for a, b in seen} == sums
    assert not sums & {f"{a}+{b}={a + b}." for a, b in held_out}


class Rote:
    """A model of single characters that gives the right answer all but `doubt` of its trust."""

    def __init__(self, tokenizer: Any, answers: dict[str, str], doubt: float) -> None:
        self.tokenizer, self.answers, self.doubt = tokenizer, answers, doubt

    def eval(self) -> None:
        """Nothing to switch."""

    def __call__(self, ids: torch.Tensor) -> Any:
        size = len(self.tokenizer)
        shares = torch.full((*ids.shape, size), self.doubt / (size - 1))
        for row, line in enumerate(ids.tolist()):
            question, _, rest = self.tokenizer.decode(line[1:]).partition("=")
            answer = self.answers[question] + "." * 9
            for place in range(len(rest) + 1):
                at = ids.shape[1] - 1 - len(rest) + place
                shares[row, at] = self.doubt / (size - 1)
                shares[row, at, self.tokenizer.vocab.index(answer[place])] = 1 - self.doubt
        return SimpleNamespace(logits=shares.log())


class Characters:
    """A tokenizer with a token for every character of a sum."""

    vocab = "^0123456789+=."
    bos_token_id = 0

    def __len__(self) -> int:
        return len(self.vocab)

    def encode(self, text: str) -> list[int]:
        return [self.vocab.index(character) for character in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.vocab[i] for i in ids)


def test_marks_count_right_answers_and_the_bits_of_them(load: Load) -> None:
    """Two answers of three are right; every right character has a probability of 3/4."""
    asked = [(1, 2), (30, 4), (55, 55)]
    answers = {"1+2": "3", "30+4": "34", "55+55": "110"}
    marks = load("arithmetic").marks(Rote(Characters(), answers, 0.25), Characters(), asked)
    assert marks["accuracy"] == 1
    assert marks["bits_per_byte"] == pytest.approx(-math.log2(0.75))
    wrong = load("arithmetic").marks(
        Rote(Characters(), answers | {"1+2": "4"}, 0.25), Characters(), asked
    )
    assert wrong["accuracy"] == pytest.approx(2 / 3)
    bits = (8 * -math.log2(0.75) + -math.log2(0.25 / 13)) / 9
    assert wrong["bits_per_byte"] == pytest.approx(bits)


def test_spread_is_the_standard_error_over_seeds(load: Load) -> None:
    runs = [{"accuracy": share} for share in (0.5, 0.6, 0.7)]
    assert load("arithmetic").spread(runs, "accuracy") == "60.0 ± 5.8 %"
    assert load("arithmetic").spread(runs[:1], "accuracy") == "50.0 %"
