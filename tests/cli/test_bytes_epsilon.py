"""`--epsilon` and `--horizon`: what was left out is said, and what has no meaning is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tokxfer as tx
from tests.tiny import Tiny
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.cli.main import main
from tokxfer.workflows.score_bytes import score_bytes_model

Run = Callable[..., tuple[int, str, str]]
ENGLISH = Path(__file__).resolve().parents[2] / "models" / "english-bytebpe"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["bytes", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


def test_next_shows_the_bounds_of_every_figure_and_the_mass_left_out(run: Run, tiny: Tiny) -> None:
    folder = tiny.model("llama")
    code, out, err = run("next", folder, "the do", "--epsilon", 0.3, "--top", 3)
    law = tx.ByteLM.from_pretrained(folder).next_byte("the do", epsilon=0.3)
    header, *rows, end = out.splitlines()
    assert code == 0
    assert header.endswith("at least   at most")
    outcomes = [int(value) for value in law.nats.topk(3).indices]
    for row, outcome in zip([*rows, end], [*outcomes, 256], strict=True):
        shown = [float(word) for word in row.split()[-2:]]
        bounds = [min(1.0, math.exp(float(bound[outcome]))) for bound in (law.lower, law.upper)]
        assert shown == pytest.approx(bounds, rel=1e-3)
    assert f"by up to {math.exp(law.missing - law.mass):.2%}" in err


def test_next_says_that_nothing_that_matters_was_left_out(run: Run, tiny: Tiny) -> None:
    code, out, err = run("next", tiny.model("llama"), "the do", "--epsilon", 1e-9)
    assert code == 0
    assert "at least" not in out
    assert "the figures are exact" in err
    assert run("next", tiny.model("llama"), "the do")[2] == ""


def test_a_score_says_what_its_mass_may_be_larger_by(run: Run, tmp_path: Path) -> None:
    folder, path = ENGLISH, tmp_path / "text.jsonl"
    texts = ["The time travel", "She wa", "The time"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    lm = tx.ByteLM.from_pretrained(folder)
    exact = score_bytes_model(lm, texts)
    assert (exact.slack, exact.missing) == (0.0, -math.inf)
    assert exact.to_dict()["missing"] == IMPOSSIBLE
    rough = score_bytes_model(lm, texts, epsilon=0.1)
    assert rough.slack > 0.05
    assert rough.mass + 0.01 < exact.mass < rough.mass + rough.slack + 1e-5
    most = sum(float(np.logaddexp(one.mass, one.missing)) for one in rough.scores)
    assert float(np.logaddexp(rough.mass, rough.missing)) == pytest.approx(most)
    code, out, err = run("score", folder, "--file", path, "--epsilon", 0.1, "--json")
    (result,) = json.loads(out)["results"]
    assert code == 0
    assert (result["mass"], result["missing"]) == (rough.mass, rough.missing)
    assert f"or more by up to {rough.slack:.3g}" in err
    assert "are estimates" in err
    assert "estimates" not in run("score", folder, "--file", path)[2]


@pytest.mark.parametrize("verb", ["next", "score", "generate", "heal"])
def test_a_horizon_without_the_law_that_has_one_is_refused(run: Run, tiny: Tiny, verb: str) -> None:
    code, out, err = run(verb, tiny.model("llama"), "the", "--horizon", 3)
    assert (code, out) == (2, "")
    assert "The law canonical has no horizon." in err
    assert run(verb, tiny.model("llama"), "the", "--horizon", 1, "--law", "all")[0] == 0


@pytest.mark.parametrize("verb", ["score", "heal"])
def test_an_empty_text_is_a_usage_error(run: Run, tiny: Tiny, verb: str) -> None:
    for nothing in ([""], ["--hex", ""]):
        code, out, err = run(verb, tiny.model("llama"), *nothing)
        assert (code, out) == (2, "")
        assert err.startswith("Error: The")


@pytest.mark.parametrize("verb", ["next", "generate"])
def test_an_empty_prompt_behind_nothing_blames_the_option(run: Run, tiny: Tiny, verb: str) -> None:
    code, _, err = run(verb, tiny.model("llama"), "", "--no-bos")
    assert code == 2
    assert err == "Error: The prompt is empty, and --no-bos puts nothing before it.\n"
