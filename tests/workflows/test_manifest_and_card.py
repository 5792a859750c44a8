from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import INPUT, OUTPUT, json_of, matrix_of, same_bits
from tokxfer.vocabulary import Origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def transplanted(tiny: Tiny) -> tuple[Path, Path, Path]:
    """An untied base, a donor, and the result of pursuit between them."""
    base = tiny.model("llama", tied=False, rows=424)
    donor = tiny.model("gpt2", tokenizer="spbpe", tokens=440, seed=5)
    out = tiny.fresh()
    tx.transplant(base, donor, out, k=3, ridge=0.1, pad_to_multiple_of=64, seed=7)
    return base, donor, out


@pytest.fixture
def card(transplanted: tuple[Path, Path, Path]) -> ModelCard:
    return ModelCard.load(transplanted[2] / "README.md")


def licensed(tiny: Tiny, folder: Path, licence: str | None, card: str | None = None) -> Path:
    """A copy with a card that names a licence."""
    copy = tiny.copy(folder)
    text = card if card is not None else f"---\nlicense: {licence}\n---\n# A model\n"
    (copy / "README.md").write_text(text, encoding="utf-8", errors="surrogateescape")
    return copy


# ---- tokxfer.json


def test_every_input_is_recorded_with_its_hash(transplanted: tuple[Path, Path, Path]) -> None:
    base, donor, out = transplanted
    inputs = json_of(out, "tokxfer.json")["inputs"]
    for part, folder in (("base", base), ("donor", donor)):
        assert inputs[part]["name"] == folder.name
        assert inputs[part]["revision"] is None
        hashes = inputs[part]["sha256"]
        assert {
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "model.safetensors",
        } <= hashes.keys()
        for name, digest in hashes.items():
            assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_of_a_donor_only_what_was_used_is_recorded(tiny: Tiny) -> None:
    base = tiny.model("llama", shard="20KB")
    for donor, files in (
        (tiny.model("llama", tokenizer="spbpe"), {"tokenizer.json", "tokenizer_config.json"}),
        (tiny.tokenizer("spbpe") / "tokenizer.json", {"tokenizer.json"}),
    ):
        out = tiny.fresh()
        tx.transplant(base, donor, out, method="mean")
        inputs = json_of(out, "tokxfer.json")["inputs"]
        assert inputs["donor"]["sha256"].keys() == files
        shards = {path.name for path in base.glob("*.safetensors")}
        assert len(shards) > 1
        assert shards <= inputs["base"]["sha256"].keys()


def test_options_are_recorded_as_resolved(transplanted: tuple[Path, Path, Path]) -> None:
    document = json_of(transplanted[2], "tokxfer.json")
    assert document["schema_version"] == 1
    assert document["options"] == {
        "method": "omp",
        "k": 3,
        "selection": "auto",
        "ridge": 0.1,
        "tune": True,
        "center": False,
        "match_norms": False,
        "shared": False,
        "twins": "copy",
        "trust_undertrained": False,
        "keep_digits": False,
        "untie": False,
        "rows": 448,
        "device": document["options"]["device"],
        "dtype": "float32",
        "seed": 7,
        "max_shard_size": 5 * 10**9,
        "trust_remote_code": False,
    }
    assert document["result"]["rows_after"] == 448
    for matrix in ("input", "output"):
        chosen = document["chosen"][matrix]
        assert chosen["k"] <= 3
        assert (chosen["selection"] in ("raw", "normalized"), chosen["ridge"]) == (True, 0.1)
    assert document["versions"]["torch"] == torch.__version__


def test_every_row_has_its_origin(transplanted: tuple[Path, Path, Path]) -> None:
    base, _, out = transplanted
    document = json_of(out, "tokxfer.json")
    names = {int(number): name for number, name in document["origins"].items()}
    assert names == {int(origin): origin.name.lower() for origin in Origin}
    for matrix, ends in (("input", INPUT), ("output", OUTPUT)):
        told = document["provenance"][matrix]
        assert len(told["origin"]) == len(told["base_id"]) == 448
        found = [names[number] for number in told["origin"]]
        assert {name: found.count(name) for name in set(found)} == told["counts"]
        assert found[440:] == ["padding"] * 8
        old, new = matrix_of(base, ends), matrix_of(out, ends)
        for place, base_id in enumerate(told["base_id"]):
            assert (base_id >= 0) == (found[place] in ("copied", "role"))
            if base_id >= 0:
                assert same_bits(old[base_id], new[place])


def test_the_combinations_give_the_new_matrix_again(
    transplanted: tuple[Path, Path, Path],
) -> None:
    base, _, out = transplanted
    arrays = np.load(out / "tokxfer_provenance.npz")
    for matrix, ends in (("input", INPUT), ("output", OUTPUT)):
        old, new = matrix_of(base, ends), matrix_of(out, ends)
        starts = arrays[f"{matrix}.indptr"]
        indices, weights = arrays[f"{matrix}.indices"], arrays[f"{matrix}.weights"]
        mean = old[:419].mean(dim=0)  # 419 is special, what follows is padding
        means = arrays[f"{matrix}.mean_weights"]
        for place, row in enumerate(new):
            entries = slice(starts[place], starts[place + 1])
            share = torch.from_numpy(weights[entries])[:, None]
            again = (share * old[indices[entries]]).sum(dim=0) + float(means[place]) * mean
            torch.testing.assert_close(row, again if len(share) else mean, rtol=1e-4, atol=1e-5)


def test_names_and_commits_of_the_hub_are_recorded(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.fresh()
    cache = {name: root / name / COMMIT for name in ("org/base", "org/donor")}
    shutil.copytree(tiny.model("llama"), cache["org/base"])
    shutil.copytree(tiny.model("llama", tokenizer="spbpe"), cache["org/donor"])
    asked = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options["revision"]))
        return str(cache[name])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    out = tiny.fresh()
    tx.transplant("org/base", "org/donor", out, revision="v1", donor_revision="v2", k=2)
    assert set(asked) == {("org/base", "v1"), ("org/donor", "v2")}
    inputs = json_of(out, "tokxfer.json")["inputs"]
    assert [(inputs[part]["name"], inputs[part]["revision"]) for part in ("base", "donor")] == [
        ("org/base", COMMIT),
        ("org/donor", COMMIT),
    ]
    assert ModelCard.load(out / "README.md").data.base_model == ["org/base", "org/donor"]


# ---- the card


def test_the_cards_metadata_parses_and_names_both_parents(
    card: ModelCard, transplanted: tuple[Path, Path, Path]
) -> None:
    base, donor, _ = transplanted
    assert card.data.base_model == [base.name, donor.name]
    assert card.data.to_dict()["base_model_relation"] == "merge"
    assert card.data.library_name == "transformers"
    assert {"tokxfer", "tokenizer-transplant"} <= set(card.data.tags)
    assert card.data.license is None


def test_the_card_tells_what_was_done(
    card: ModelCard, transplanted: tuple[Path, Path, Path]
) -> None:
    counts = json_of(transplanted[2], "tokxfer.json")["provenance"]["input"]["counts"]
    lines = card.text.splitlines()
    assert "| tokens in the tokenizer | 420 | 440 |" in lines
    assert "| rows in the embedding matrix | 424 | 448 |" in lines
    header = next(line for line in lines if line.startswith("| matrix |"))
    row = next(line for line in lines if line.startswith("| input |"))
    names, numbers = ([cell.strip() for cell in line.split("|")[2:-1]] for line in (header, row))
    assert dict(zip(names, map(int, numbers), strict=True)) == counts
    assert not [line for line in lines if line != line.rstrip()]


def test_the_card_of_auto_says_what_it_chose(
    transplanted: tuple[Path, Path, Path], tiny: Tiny
) -> None:
    out = tiny.fresh()
    tx.transplant(*transplanted[:2], out, method="auto")
    text = ModelCard.load(out / "README.md").text
    chosen_by_matrix = json_of(out, "tokxfer.json")["chosen"]
    assert set(chosen_by_matrix) == {"input", "output"}
    for matrix, chosen in chosen_by_matrix.items():
        assert f"For the {matrix} matrix it chose `{chosen['method']}`." in text.splitlines()


def test_of_a_result_without_estimates_the_card_says_nothing_about_them(tiny: Tiny) -> None:
    base, out = tiny.model("llama"), tiny.fresh()
    tx.transplant(base, base, out)
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "estimates" not in text
    assert ModelCard.load(out / "README.md").data.base_model == [base.name]
    assert json_of(out, "tokxfer.json")["chosen"] == {"tied": {}}


def test_no_local_path_is_given_away(transplanted: tuple[Path, Path, Path], tiny: Tiny) -> None:
    out = transplanted[2]
    for file in ("README.md", "tokxfer.json", "config.json", "generation_config.json",
                 "tokenizer_config.json"):  # fmt: skip
        text = (out / file).read_text(encoding="utf-8")
        assert str(tiny.root) not in text
        assert str(tiny.root.parent) not in text


def test_one_licence_of_both_parents_is_the_results(tiny: Tiny) -> None:
    base = licensed(tiny, tiny.model("llama"), "apache-2.0")
    donor = licensed(tiny, tiny.model("llama", tokenizer="spbpe"), "apache-2.0")
    out = tiny.fresh()
    report = tx.transplant(base, donor, out, method="mean")
    assert ModelCard.load(out / "README.md").data.license == "apache-2.0"
    assert not [warning for warning in report.warnings if "licence" in warning]


def test_licences_that_differ_are_warned_of_and_both_named(tiny: Tiny) -> None:
    base = licensed(tiny, tiny.model("llama"), "apache-2.0")
    donor = licensed(tiny, tiny.model("llama", tokenizer="spbpe"), "gemma")
    out = tiny.fresh()
    report = tx.transplant(base, donor, out, method="mean")
    assert any("licences differ (apache-2.0, gemma)" in warning for warning in report.warnings)
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "other"
    assert "apache-2.0, gemma" in card.text


@pytest.mark.parametrize(
    "text", ["# No metadata\n", "---\n[broken\n---\n", "---\nlicense: 7\n---\n", "\udcff", ""]
)
def test_a_card_that_names_no_licence_is_no_obstacle(tiny: Tiny, text: str) -> None:
    base = licensed(tiny, tiny.model("llama"), None, text)
    out = tiny.fresh()
    tx.transplant(base, tiny.tokenizer("spbpe", bare=True), out, method="mean")
    assert ModelCard.load(out / "README.md").data.license is None


def test_a_name_that_yaml_would_misread_stays_a_name(tiny: Tiny) -> None:
    base = tiny.copy(tiny.model("llama"))
    odd = base.rename(base.parent / "yes: no #1")
    out = tiny.fresh()
    tx.transplant(odd, tiny.tokenizer("spbpe", bare=True), out, method="mean")
    assert ModelCard.load(out / "README.md").data.base_model[0] == "yes: no #1"
    assert json.loads((out / "tokxfer.json").read_text())["inputs"]["base"]["name"] == odd.name


@pytest.mark.parametrize(("family", "warned"), [("bytebpe", False), ("qwen", True)])
def test_the_card_warns_where_digits_are_cut_otherwise(
    tiny: Tiny, family: str, warned: bool
) -> None:
    out = tiny.fresh()
    report = tx.transplant(tiny.model("gpt2"), tiny.tokenizer(family), out, method="mean")
    told = "**Numbers.**" in (out / "README.md").read_text(encoding="utf-8")
    assert told == warned == any("Digits" in warning for warning in report.warnings)
