"""The methods that `cuts.py` and `fill.py` compare, against plain forwards of the model."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM

ROOT = Path(__file__).resolve().parents[2]
TEXT = b"the quick dog"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        names = ("cut_methods", "cuts", "fill_methods", "fill", "byte_speed", "byte_speed_runs")
        yield {name: importlib.import_module(name) for name in names}


@pytest.fixture(scope="module")
def lm(tiny: Tiny) -> ByteLM:
    found = ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe", seed=3))
    found.model.double()
    return found


@torch.no_grad()
def going_on(lm: ByteLM, ids: list[int], data: bytes) -> float:
    """The probability that tokens behind some ids spell what begins with some bytes."""
    row = torch.tensor([[lm.begin, *ids]])
    shares = lm.model(input_ids=row).logits[0, -1].softmax(dim=-1)
    total = 0.0
    for token, spelled in enumerate(lm.tokens.order.tokens):
        if spelled and spelled.startswith(data):
            total += float(shares[token])
        elif spelled and data.startswith(spelled):
            total += float(shares[token]) * going_on(lm, [*ids, token], data[len(spelled) :])
    return total


def test_token_prompts_and_healing_are_what_they_are_called(
    lm: ByteLM, scripts: dict[str, ModuleType]
) -> None:
    free = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law="all", horizon=1 << 30)
    cuts = scripts["cut_methods"].Cuts(free, lm, TEXT, 3)
    found = cuts.nats()
    spelled = lm.tokens.rule.tokens
    for at, offset in enumerate(cuts.offsets):
        ids, behind = lm.vocabulary.encode(TEXT[:offset].decode()), TEXT[offset : offset + 3]
        expected = going_on(lm, ids, behind)
        assert float(np.exp(found["tokens"][at])) == pytest.approx(expected, rel=2e-3, abs=1e-9)
        kept, removed = ids[:-1], spelled[ids[-1]]
        row = torch.tensor([[lm.begin, *kept]])
        with torch.no_grad():
            shares = lm.model(input_ids=row).logits[0, -1].softmax(dim=-1)
        above = below = 0.0
        for token, text in enumerate(lm.tokens.order.tokens):
            if text.startswith(removed):
                below += float(shares[token])
                rest = text[len(removed) :]
                if rest.startswith(behind):
                    above += float(shares[token])
                elif behind.startswith(rest):
                    more = going_on(lm, [*kept, token], behind[len(rest) :])
                    above += float(shares[token]) * more
        assert float(np.exp(found["healing"][at])) == pytest.approx(above / below, rel=1e-2)
        scored = lm.score(TEXT[: offset + 3]).nats[offset:].sum()
        assert found["bytes"][at] == pytest.approx(float(scored), abs=1e-9)


def test_laws_at_a_cut_are_those_of_the_bytes_that_are_scored(
    lm: ByteLM, scripts: dict[str, ModuleType]
) -> None:
    free = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law="all", horizon=1 << 30)
    cuts = scripts["cut_methods"].Cuts(free, lm, TEXT, 1)
    nats = cuts.nats()
    for offset in cuts.offsets:
        laws = cuts.laws(offset)
        for method, law in laws.items():
            assert np.exp(law).sum() == pytest.approx(1.0, abs=1e-9)
            scored = np.exp(nats[method][offset - 1])
            unasked = 5 * scripts["cut_methods"].EPSILON if method == "healing" else 1e-9
            assert np.exp(law[TEXT[offset]]) == pytest.approx(scored, rel=2e-3, abs=unasked)
        ids = lm.vocabulary.encode(TEXT[:offset].decode())
        for byte in b"e q":
            expected = going_on(lm, ids, bytes([byte]))
            assert np.exp(laws["tokens"][byte]) == pytest.approx(expected, rel=2e-3, abs=1e-9)


def test_cuts_within_tokens_are_told_from_others(
    lm: ByteLM, scripts: dict[str, ModuleType]
) -> None:
    free = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law="all", horizon=1 << 30)
    cuts = scripts["cut_methods"].Cuts(free, lm, TEXT, 3)
    sizes = [len(lm.tokens.rule.tokens[token]) for token in lm.vocabulary.encode(TEXT.decode())]
    ends = set(np.cumsum(sizes).tolist())
    assert cuts.inside().tolist() == [offset not in ends for offset in cuts.offsets]


def test_the_scripts_run(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table:cuts -->\n<!-- /table -->\n<!-- table:fill -->\n<!-- /table -->\n")
    options = ["--smoke", "--json", str(tmp_path / "cuts.json"), "--page", str(page)]
    scripts["cuts"].main([*options, "--plot", str(tmp_path / "cuts.svg")])
    document = json.loads((tmp_path / "cuts.json").read_text())
    (model,) = document["models"]
    whole = model["texts"][0]["anywhere"]["cuts"]
    parts = [model["texts"][0][place]["cuts"] for place in scripts["cuts"].PLACES[1:]]
    assert whole == sum(parts)
    assert (tmp_path / "cuts.svg").stat().st_size > 1000
    options = ["--smoke", "--json", str(tmp_path / "fill.json"), "--page", str(page)]
    scripts["fill"].main(options)
    assert len(json.loads((tmp_path / "fill.json").read_text())["holes"]) == 2
    assert "token healing" in page.read_text()
    capsys.readouterr()


def test_every_way_of_the_speed_table_is_run(
    scripts: dict[str, ModuleType], tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, told = tmp_path / "page.md", tmp_path / "speed.json"
    page.write_text("<!-- table:byte-speed -->\n<!-- /table -->\n")
    model = tiny.model("llama", tokenizer="bytebpe", seed=3)
    options = ["--tokenizer", tiny.tokenizer("bytebpe"), "--trained", model, "--cache", tmp_path]
    readme = tmp_path / "readme.md"
    readme.write_text(page.read_text())
    options += ["--smoke", "--json", told, "--page", page, "--readme", readme]
    scripts["byte_speed"].main([str(option) for option in options])
    document = json.loads(told.read_text())
    (laps,) = document["rounds"]
    random, trained = laps.values()
    assert set(trained) - set(random) == {"score, epsilon 0.001", "stream, epsilon 0.001"}
    for lap in (*random.values(), *trained.values()):
        assert 0 < lap["model_seconds"] < lap["seconds"]
    assert random["stream, all laws"]["heads"] == random["score, all laws"]["heads"] >= 40
    assert document["overhead"]["score"] > 0
    assert page.read_text().count("| stream, all laws |") == 2
    said = re.findall(r"[\d,]+\.\d", readme.read_text())
    assert len(said) == 6
    assert all(figure in page.read_text() for figure in said)
    capsys.readouterr()


def test_transformers_own_healing_fills_what_it_does_not_strip(
    tiny: Tiny, scripts: dict[str, ModuleType]
) -> None:
    methods = scripts["fill_methods"]
    folder = tiny.model("llama", tokenizer="bytebpe", seed=3)
    lm = ByteLM.from_pretrained(folder)
    tokenizer = scripts["fill"].load_tokenizer(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    markers = [lm.vocabulary.encode(one)[0] for one in "xyz"]
    prompts = methods.TokenPrompts(lm, scripts["fill"].FillTemplate(*markers))
    told = list[list[int]]()
    greedy = prompts._greedy
    prompts._greedy = lambda context, removed, size: (
        told.append(context) or greedy(context, removed, size)
    )
    found = prompts.answer_healed(methods.Hole(b"the quick do", b"g", b" runs"), tokenizer)
    (context,) = told
    before = context[context.index(markers[0]) + 1 : context.index(markers[1])]
    healed = b"".join(lm.tokens.rule.tokens[token] for token in before)
    assert healed.startswith(b"the quick do")
    assert found.written.startswith(healed[len("the quick do") :])
    assert found.nats is None
    stripped = prompts.answer_healed(methods.Hole(b"the quick dog ", b"r", b"uns"), tokenizer)
    assert stripped == methods.Answer(b"", False, None)
