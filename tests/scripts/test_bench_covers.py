"""The shares that `covers.py` measures, against their enumeration over covers."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.bytelevel.enumeration import canonical, covers, prefixed, stream
from tests.bytelevel.test_horizon import counts
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.vocabulary import ByteVocabulary

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("cover_masses", "cover_page", "cover_plot", "covers")
SIZE = 5
EXACT = {"epsilon": 0.0}


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield {name: importlib.import_module(name) for name in NAMES}


@pytest.fixture(scope="module", params=["bytebpe", "spbpe", "unigram"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    found = ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))
    found.model.double()
    return found


class Asked:
    """Probabilities of token sequences by plain forwards, each beginning once."""

    def __init__(self, lm: ByteLM) -> None:
        self.lm, self._laws = lm, dict[tuple[int, ...], torch.Tensor]()

    @torch.no_grad()
    def law(self, row: list[int]) -> torch.Tensor:
        """The law of the next token."""
        if tuple(row) not in self._laws:
            logits = self.lm.model(input_ids=torch.tensor([[self.lm.begin, *row]])).logits
            self._laws[tuple(row)] = logits[0, -1].softmax(dim=-1)
        return self._laws[tuple(row)]

    def probability(self, row: list[int]) -> float:
        return math.prod(float(self.law(row[:at])[token]) for at, token in enumerate(row))


def written(vocabulary: ByteVocabulary, row: list[int]) -> bool:
    """Whether a row begins the encoding of some text, however its last character goes on."""
    known = canonical(vocabulary, row)
    if known is not None:
        return known
    data = b"".join(vocabulary.tokens[token] for token in row)
    for size, last in itertools.product(range(1, 4), range(0x80, 0xC0)):
        for tail in (bytes([last, *[0x80] * (size - 1)]), bytes([*[0x80] * (size - 1), last])):
            with contextlib.suppress(UnicodeDecodeError):
                if stream(vocabulary, (data + tail).decode())[: len(row)] == row:
                    return True
    return False


def share(lm: ByteLM, data: bytes, horizon: int) -> float:
    """The part of the mass of all covers within a horizon that is not canonical, one by one."""
    asked, rest, every = Asked(lm), 0.0, 0.0
    for row in covers(lm.vocabulary, data):
        if counts(lm.canonical, row, len(data) - horizon):
            probability = asked.probability(row)
            every += probability
            rest += 0.0 if written(lm.vocabulary, row) else probability
    return rest / every


@pytest.mark.parametrize("text", ["the quick", "don't"])
def test_shares_are_those_of_all_covers_by_enumeration(
    lm: ByteLM, scripts: dict[str, ModuleType], text: str
) -> None:
    data = lm.spell(text)[:SIZE]
    found = scripts["cover_masses"].measured(lm, text, SIZE, [SIZE], **EXACT)
    assert bytes.fromhex(found["hex"]) == data
    for size in range(1 + prefixed(lm.vocabulary), SIZE + 1):
        expected = share(lm, data[:size], SIZE)
        assert found["shares"][str(SIZE)][size - 1] == pytest.approx(expected, rel=1e-6)
    assert 1e-5 < expected < 0.99


@pytest.mark.parametrize("horizon", [0, 2])
def test_a_horizon_takes_in_what_strays_within_it(
    lm: ByteLM, scripts: dict[str, ModuleType], horizon: int
) -> None:
    data = lm.spell("the quick")[:SIZE]
    found = scripts["cover_masses"].measured(lm, "the quick", SIZE, [horizon], **EXACT)
    expected = share(lm, data, horizon)
    assert found["shares"][str(horizon)][-1] == pytest.approx(expected, rel=1e-6)


def test_what_is_left_of_a_short_text_is_its_share(
    lm: ByteLM, scripts: dict[str, ModuleType]
) -> None:
    found = scripts["cover_masses"].measured(lm, "the quick", SIZE, [SIZE], **EXACT)
    free = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law="all", horizon=SIZE)
    score, plain = free.score(bytes.fromhex(found["hex"])), lm.score(bytes.fromhex(found["hex"]))
    above = -math.log1p(-found["shares"][str(SIZE)][-1])
    unspelled = score.total - score.mass  # tokens that spell nothing
    assert found["left"][str(SIZE)] == pytest.approx(above + unspelled, abs=1e-9)
    assert found["gained"][str(SIZE)] == pytest.approx(score.total - plain.total, abs=1e-9)
    assert found["leaked"] == pytest.approx(plain.total - plain.mass, abs=1e-9)
    assert found["nats"] == pytest.approx(score.nats.tolist(), abs=1e-9)


def test_what_an_epsilon_leaves_out_is_said(lm: ByteLM, scripts: dict[str, ModuleType]) -> None:
    text = "The quick brown fox"
    exact = scripts["cover_masses"].measured(lm, text, 30, [2], epsilon=0.0)
    rough = scripts["cover_masses"].measured(lm, text, 30, [2], epsilon=0.3)
    off = np.abs(np.subtract(rough["shares"]["2"], exact["shares"]["2"])).max()
    assert exact["missing"] == 0
    assert 0 < off <= rough["missing"]


def test_beginnings_within_tokens_are_told_from_others(
    lm: ByteLM, scripts: dict[str, ModuleType]
) -> None:
    text = "the quick dog sat down"
    found = scripts["cover_masses"].measured(lm, text, 15, [0])
    sizes = [len(lm.tokens.rule.tokens[token]) for token in lm.vocabulary.encode(text)]
    ends = set(np.cumsum(sizes).tolist())
    assert found["inside"] == [size not in ends for size in range(1, 16)]


def test_figures_are_means_over_beginnings(scripts: dict[str, ModuleType]) -> None:
    page = scripts["cover_page"]
    rows = [
        {"inside": [True, False], "shares": {"1": [0.5, 0.1]}, "left": {"1": 0.2}},
        {"inside": [False, False, True], "shares": {"1": [0.0, 0.2, 0.2]}, "left": {"1": 0.8}},
    ]
    run, document = {"documents": rows}, {"horizons": [1]}
    assert page.mean_share(run, 1).value == pytest.approx(1.0 / 5)
    assert page.share_at(run, document, "inside a token").value == pytest.approx(0.7 / 2)
    assert page.share_at(run, document, "at a token's end").value == pytest.approx(0.3 / 3)
    assert page.per_byte(run, "left", 1).value == pytest.approx(1.0 / 5)


def test_surprises_are_where_the_last_bytes_were_unlikely(scripts: dict[str, ModuleType]) -> None:
    page = scripts["cover_page"]
    costs = [np.arange(1.0, 31.0), np.full(70, 2.0)]
    run = {"documents": [{"nats": (-one).tolist()} for one in costs]}
    sums = [sum(one[max(0, at - 7) : at + 1]) for one in costs for at in range(len(one))]
    (first, second) = page.chosen(run, "behind surprises")
    assert first.tolist() + second.tolist() == [one > np.quantile(sums, 0.9) for one in sums]
    assert first.sum() == 10
    (others, _) = page.chosen(run, "elsewhere")
    assert (others == ~first).all()


def test_the_scripts_run(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table:covers -->\n<!-- /table -->\n")
    scripts["covers"].main([
        *("--smoke", "--json", str(tmp_path / "covers.json"), "--page", str(page)),
        *("--plot", str(tmp_path / "plots" / "covers.svg")),
    ])  # fmt: skip
    document: dict[str, Any] = json.loads((tmp_path / "covers.json").read_text())
    (run,) = document["runs"]
    assert [len(row["inside"]) for row in run["documents"]] == [40, 40]
    assert all(set(row["shares"]) == {"0", "3"} for row in run["documents"])
    written = page.read_text()
    assert scripts["cover_page"].by_horizon(document) in written
    assert "![" in written
    assert "](plots/covers.svg)" in written
    assert (tmp_path / "plots" / "covers.svg").stat().st_size > 1000
    capsys.readouterr()
