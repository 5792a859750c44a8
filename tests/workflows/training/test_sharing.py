"""A base that teaches its own transplant on one body."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.training.helpers import weights
from tests.workflows.training.test_bodies import KINDS, SMALL, tiny
from tokxfer.checkpoints import validate_folder
from tokxfer.errors import UsageError
from tokxfer.workflows import distill as distilling
from tokxfer.workflows.adapt import adapt
from tokxfer.workflows.distill import distill
from tokxfer.workflows.planning import plan_transplant
from tokxfer.workflows.training import trainer
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.loop import with_adapters
from tokxfer.workflows.training.newrows import new_ids
from tokxfer.workflows.training.schedule import Schedule
from tokxfer.workflows.training.sharing import Former
from tokxfer.workflows.transplant_model import matrices_of

SHORT = Schedule(steps=4, batch_size=4, max_length=48, rate=0.01, save_every=2)
MORE = {"gemma3_text": {"sliding_window": 32}, "llama tied": {"tie_word_embeddings": True}}


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def pair(request: pytest.FixtureRequest, tiny: Tiny, student: Path) -> tuple[Path, Path]:
    base = tiny.model("llama", tokenizer="bytebpe", tied=request.param, seed=3)
    out = tiny.fresh()
    tx.transplant(base, student, out, method="mean")
    return base, out


@pytest.fixture(params=sorted(KINDS.keys() | MORE.keys()))
def grown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A model, and what has more rows of other numbers on the same body."""
    name = request.param.split()[0]
    monkeypatch.setitem(KINDS, name, KINDS.get(name, {}) | MORE.get(request.param, {}))
    old = tiny(name)
    model = copy.deepcopy(old)
    model.resize_token_embeddings(SMALL["vocab_size"] + 7, mean_resizing=False)
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        torch.nn.init.normal_(module.weight)
    return old, model


@torch.no_grad()
def test_a_former_model_answers_as_it_did_whatever_adapters_learn(grown: tuple[Any, Any]) -> None:
    old, model = grown
    ids = torch.randint(60, (2, 9))
    document = torch.tensor([[0] * 9, [0] * 4 + [1] * 5])
    former = Former(model, matrices_of(old), old.config)
    own = model(input_ids=ids).logits
    for adapted in (False, True):
        if adapted:
            former.adapted = with_adapters(model, 2).train()
            for name, parameter in model.named_parameters():
                if "lora" in name:
                    torch.nn.init.normal_(parameter)
        assert torch.allclose(former(input_ids=ids).logits, old(input_ids=ids).logits, atol=1e-6)
        Body.of(former).check()
        found = Body.of(former).hidden(ids, document)
        assert torch.allclose(found, Body.of(old).hidden(ids, document), atol=1e-6)
        assert Body.of(former).packs == Body.of(old).packs
        now = model.eval()(input_ids=ids).logits
        assert torch.equal(own, now) is not adapted  # the student is itself again
    assert all("lora" in n for n, p in model.named_parameters() if p.requires_grad)


def test_a_former_model_leaves_the_students_mode_alone() -> None:
    old = tiny("gpt2")
    old.config.attn_pdrop = old.config.resid_pdrop = 0.5
    model = copy.deepcopy(old).train()
    former = Former(model, matrices_of(old), old.config)
    ids = torch.randint(60, (2, 9))
    assert torch.equal(former(input_ids=ids).logits, former(input_ids=ids).logits)
    assert model.training
    assert not former.training


def taught(pair: tuple[Path, Path], data: Path, out: Path, **told: Any) -> Any:
    common: dict[str, Any] = {"data": data, "schedule": SHORT, "device": "cpu", "offline": True}
    return distill(*pair, out, **(common | {"lora": 4} | told))


def test_one_body_teaches_as_two_do(pair: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    one = taught(pair, data, tmp_path / "one", one_body=True)
    two = taught(pair, data, tmp_path / "two")
    assert two.teacher is not None
    for found, expected in ((one.teacher, two.teacher), (one.before, two.before)):
        assert found.evaluation.nats == pytest.approx(expected.evaluation.nats, rel=1e-6)
    assert one.after.evaluation.bits_per_byte < one.before.evaluation.bits_per_byte
    assert one.after.evaluation.nats == pytest.approx(two.after.evaluation.nats, rel=1e-4)
    assert one.after.gap == pytest.approx(two.after.gap, rel=1e-4)
    for name, tensor in weights(tmp_path / "two").items():
        assert torch.allclose(weights(tmp_path / "one")[name], tensor, atol=1e-4), name


def test_adapters_and_new_rows_learn_and_old_rows_stay(
    pair: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    taught(pair, data, tmp_path / "out", one_body=True)
    before, after = weights(pair[1]), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    names = {"tied": "model.embed_tokens.weight", "input": "model.embed_tokens.weight"}
    found = new_ids(pair[1])
    for matrix, rows in found.items():
        name = names.get(matrix, "lm_head.weight")
        moved = (before[name] != after[name]).any(1).nonzero()[:, 0].tolist()
        assert moved
        assert set(moved) <= set(rows)
    body = {n for n in before if "proj" in n}
    assert all(not torch.equal(before[name], after[name]) for name in body)
    assert all(check.ok for check in validate_folder(tmp_path / "out"))


def storages(model: Any) -> Iterator[tuple[int, int]]:
    """Where parameters lie, and how many numbers there are; those of old matrices, too."""
    parts = [model.get_input_embeddings(), model.get_output_embeddings()]
    for parameter in [*model.parameters(), *(p for part in parts for p in part.parameters())]:
        yield parameter.untyped_storage().data_ptr(), parameter.numel()


def test_with_adapters_a_transplant_and_its_base_have_one_body_in_memory(
    tiny: Tiny, student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.model("llama", tokenizer="bytebpe", tied=False, seed=3)
    plan = plan_transplant(base, student, tmp_path / "out", method="mean", device="cpu")
    seen, train = [], distilling.train

    def watched(asked: Any, learner: Any, *told: Any, **more: Any) -> Any:
        both = dict(storages(learner.model)) | dict(storages(asked.model))
        head = sum(part.weight.numel() for part in (asked.model.get_input_embeddings(),
                   asked.model.get_output_embeddings()))  # fmt: skip
        seen.append(sum(both.values()) - sum(dict(storages(learner.model)).values()) - head)
        return train(asked, learner, *told, **more)

    monkeypatch.setattr(distilling, "train", watched)
    report = adapt(plan, data=[data], schedule=SHORT, lora=4)
    assert seen == [0]
    assert report.distillation.options["one_body"]
    assert all(check.ok for check in validate_folder(tmp_path / "out"))


def test_new_rows_beside_adapters_are_resumed_too(
    pair: tuple[Path, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(pair, data, tmp_path / "whole", one_body=True)
    steps, seen = trainer.DistillationTrainer.training_step, []

    def killed(self: Any, *told: Any, **more: Any) -> Any:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return steps(self, *told, **more)

    monkeypatch.setattr(trainer.DistillationTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        taught(pair, data, tmp_path / "cut", one_body=True)
    monkeypatch.undo()
    taught(pair, data, tmp_path / "cut", one_body=True, resume=True)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.allclose(tensor, weights(tmp_path / "cut")[name], atol=1e-6), name


def test_the_best_new_rows_come_back_with_the_best_adapters(
    pair: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    hotter = Schedule(
        steps=12, batch_size=4, max_length=48, rate=1.0, judge_every=2, patience=2, save_every=2,
        warmup=0.9,
    )  # fmt: skip
    report = taught(pair, data, tmp_path / "out", one_body=True, schedule=hotter)
    judged = [p["eval_bits_per_byte"] for p in report.curve if "eval_bits_per_byte" in p]
    assert judged[-1] > min(judged)
    assert report.after.evaluation.bits_per_byte == pytest.approx(min(judged), rel=1e-6)


def test_a_half_teacher_computes_in_half_on_a_body_in_full(
    pair: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    report = taught(pair, data, tmp_path / "out", one_body=True, dtype="bfloat16")
    exact = taught(pair, data, tmp_path / "exact", one_body=True)
    assert report.teacher.evaluation.bits_per_byte != exact.teacher.evaluation.bits_per_byte
    assert report.teacher.evaluation.bits_per_byte == pytest.approx(
        exact.teacher.evaluation.bits_per_byte, rel=0.02
    )


def test_a_body_that_is_trained_itself_cannot_teach(
    pair: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be the teacher's"):
        taught(pair, data, tmp_path / "out", one_body=True, lora=None)
