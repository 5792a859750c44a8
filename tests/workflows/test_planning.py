from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import json_of
from tokxfer.errors import FolderError, TokxferError, UnsupportedError, UsageError
from tokxfer.vocabulary import MatchKind, match, read_vocabulary
from tokxfer.workflows import planning
from tokxfer.workflows.planning import counterparts, new_size, public_name


@pytest.fixture
def base(tiny: Tiny) -> Path:
    return tiny.model("llama", tied=False, rows=448)


@pytest.fixture
def donor(tiny: Tiny) -> Path:
    return tiny.model("gpt2", tokenizer="spbpe", hidden=24)


def everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_plan_counts_what_would_happen_and_writes_nothing(
    base: Path, donor: Path, tmp_path: Path
) -> None:
    before = everything(base) | everything(donor)
    plan = tx.plan_transplant(base, donor, tmp_path / "out", k=4)
    told = plan.to_dict()
    matched = match(read_vocabulary(base), read_vocabulary(donor))
    assert (told["base"], told["donor"]) == (base.name, donor.name)
    assert (told["base_size"], told["donor_size"]) == (420, 420)
    assert (told["rows_before"], told["rows_after"]) == (448, 420)
    assert told["shared"] == matched.shared
    assert told["copied_ids"] == int((matched.how == MatchKind.BYTES).sum())
    assert told["copied_ids"] + told["role_ids"] + told["new_ids"] == 420
    assert told["method"] == "omp"
    assert told["tied"] is False
    assert json.loads(json.dumps(told)) == told
    assert list(tmp_path.iterdir()) == []
    assert everything(base) | everything(donor) == before


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_the_estimate_of_the_disk_is_what_the_weights_take(
    base: Path, donor: Path, tiny: Tiny, dtype: str
) -> None:
    out = tiny.fresh()
    plan = tx.plan_transplant(base, donor, out, method="mean", dtype=dtype)
    tx.transplant(base, donor, out, method="mean", dtype=dtype)
    written = sum(tensor.nbytes for tensor in load_file(out / "model.safetensors").values())
    assert plan.disk_bytes() == written


def test_the_estimate_of_memory_counts_the_donor_only_where_it_is_read(
    base: Path, donor: Path, tmp_path: Path
) -> None:
    mean, omp = (
        tx.plan_transplant(base, donor, tmp_path / "out", method=method)
        for method in ("mean", "omp")
    )
    assert mean.memory_bytes() == 2 * (448 + 420) * 16 * 4
    assert omp.memory_bytes() > mean.memory_bytes()


def test_an_existing_output_is_refused_before_any_input_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ModelFolder", None)
    (tmp_path / "out").mkdir()
    with pytest.raises(FolderError, match="exists already"):
        tx.plan_transplant("nowhere", "nowhere", tmp_path / "out")


def test_leftovers_of_a_killed_run_are_no_business_of_a_plan(
    base: Path, donor: Path, tmp_path: Path
) -> None:
    (tmp_path / ".out.partial-1").mkdir()
    tx.plan_transplant(base, donor, tmp_path / "out", method="mean")
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial-1"]


@pytest.mark.parametrize("place", ["base", "donor"])
def test_the_output_may_not_lie_in_an_input(base: Path, donor: Path, place: str) -> None:
    within = {"base": base, "donor": donor}[place]
    with pytest.raises(FolderError, match="lies inside the input"):
        tx.plan_transplant(base, donor, within / "out")


def test_other_tensors_with_a_row_per_token_are_refused(
    tiny: Tiny, base: Path, donor: Path, tmp_path: Path
) -> None:
    odd = tiny.copy(base)
    tensors = load_file(odd / "model.safetensors") | {"extra.logit_scale": torch.ones(448)}
    save_file(tensors, odd / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedError, match=r"extra\.logit_scale"):
        tx.plan_transplant(odd, donor, tmp_path / "out", method="mean")


def test_a_base_whose_tokenizer_has_more_tokens_than_it_has_rows_is_refused(
    tiny: Tiny, donor: Path, tmp_path: Path
) -> None:
    short = tiny.model("llama", rows=400, eos=[3])
    with pytest.raises(TokxferError, match=r"ids up to 419, its embedding matrix only 400 rows"):
        tx.plan_transplant(short, donor, tmp_path / "out", method="mean")


def test_special_tokens_beyond_the_matrix_are_no_obstacle(
    tiny: Tiny, donor: Path, tmp_path: Path
) -> None:
    """Many a release has more special tokens than rows; no text ever gives them."""
    short = tiny.model("llama", rows=419, eos=[3])
    assert tx.plan_transplant(short, donor, tmp_path / "out", method="mean").size == 420


@pytest.mark.parametrize("which", ["revision", "donor_revision"])
def test_a_revision_of_a_path_is_refused(
    base: Path, tiny: Tiny, tmp_path: Path, which: str
) -> None:
    bare = tiny.tokenizer("spbpe", bare=True)
    with pytest.raises(UsageError, match="is a path on this machine"):
        tx.plan_transplant(base, bare, tmp_path / "out", method="mean", **{which: "main"})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "wizardry"}, "no method 'wizardry'"),
        ({"k": 0}, "k is 0"),
        ({"method": "mean", "k": 3}, "no option 'k'"),
        ({"selection": "best"}, "no selection 'best'"),
        ({"ridge": "much"}, "'much' is no number"),
        ({"ridge": -1.0}, "cannot be negative"),
        ({"pad_to_multiple_of": 0}, "--pad-to-multiple-of is 0"),
        ({"max_shard_size": "big"}, "'big' is not a size"),
        ({"memory_budget": "0"}, "above zero"),
        ({"device": "abacus"}, "abacus"),
        ({"dtype": "int8"}, "int8"),
        ({"method": tx.OMP(k=3), "k": 4}, "ready-made method"),
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(
    base: Path, donor: Path, tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        tx.plan_transplant(base, donor, tmp_path / "out", **options)  # type: ignore[arg-type]


def test_rows_are_one_per_id_rounded_up(base: Path, donor: Path) -> None:
    vocabularies = read_vocabulary(base), read_vocabulary(donor)
    matched = match(*vocabularies)
    assert new_size(matched, 448, None) == 420
    assert new_size(matched, 448, 1) == 420
    assert new_size(matched, 448, 64) == 448
    assert new_size(matched, 448, 420) == 420
    same = match(vocabularies[0], vocabularies[0])
    assert new_size(same, 448, None) == 448
    assert new_size(same, 448, 1) == 420
    assert new_size(same, 400, None) == 420


def test_a_model_is_called_by_its_hub_name_or_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "model"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    assert public_name("org/model", tmp_path / "cache" / "abc") == "org/model"
    assert public_name(str(folder), folder) == "model"
    assert public_name(str(folder) + "/", folder) == "model"
    assert public_name(str(folder / "tokenizer.json"), folder / "tokenizer.json") == "model"


def test_of_several_new_ids_for_one_old_the_end_of_text_counts(tiny: Tiny) -> None:
    """The base's one special token is begin, end and pad; the donor has a token for each."""
    old, new = tiny.tokenizer("bytebpe"), tiny.tokenizer("unigram", 200)
    matched = match(read_vocabulary(old), read_vocabulary(new))
    names = json_of(new, "tokenizer.json")["model"]["vocab"]
    assert names[counterparts(matched)[419]][0] == "</s>"


def test_every_shared_token_has_a_counterpart_in_settings(tiny: Tiny) -> None:
    vocabulary = read_vocabulary(tiny.tokenizer("spbpe"))
    assert counterparts(match(vocabulary, vocabulary)) == {i: i for i in range(420)}
