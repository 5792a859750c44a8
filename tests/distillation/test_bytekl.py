"""Byte KL: its formula place by place, its gradient by covers, and what it leaves out."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.bytelevel.test_gradients import compared, gradients, laws_by_covers
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.law import IMPOSSIBLE
from tokxfer.bytelevel.spelled import spell_places
from tokxfer.distillation.bytekl import BYTE_DIVERGENCES, byte_divergence, byte_kl
from tokxfer.errors import UsageError

FAMILIES = ["bytebpe", "spbpe", "unigram", "wordpiece"]
PAIRS = [("bytebpe", "spbpe"), ("spbpe", "unigram"), ("unigram", "bytebpe")]
PAIRS += [("bytebpe", "wordpiece")]
TEXTS = ["The dog", "a", "it's 12", ""]


def model_of(tiny: Tiny, family: str, seed: int) -> ByteLM:
    found = ByteLM.from_pretrained(tiny.model("gpt2", tokenizer=family, seed=seed))
    found.model.double()
    if found.begin is None:
        found.begin = found.vocabulary.names.index("[CLS]")
    if not found.stops:
        found = ByteLM(found.model, found.vocabulary, stops=[found.begin])
        found.begin = found.stops[0]
    return found


@pytest.fixture(scope="module")
def lms(tiny: Tiny) -> dict[tuple[str, int], ByteLM]:
    return {
        (family, seed): model_of(tiny, family, seed)
        for family, seed in itertools.product(FAMILIES, (3, 4))
    }


def value(total: Tensor) -> float:
    return float(total.detach())


def slow(teacher: Tensor, student: Tensor, kind: str) -> tuple[float, int]:
    """The formula, outcome by outcome."""
    total, count = 0.0, 0
    for p_log, q_log in zip(teacher.tolist(), student.tolist(), strict=True):
        p = [0.0 if x <= -1e29 else math.exp(x) for x in p_log]
        q = [0.0 if x <= -1e29 else math.exp(x) for x in q_log]
        if kind == "kl":
            p = [a if b > 0 else 0.0 for a, b in zip(p, q, strict=True)]
        if kind == "reverse-kl":
            q = [b if a > 0 else 0.0 for a, b in zip(p, q, strict=True)]
        if not sum(p) or not sum(q):
            continue
        p, q = [a / sum(p) for a in p], [b / sum(q) for b in q]
        m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        count += 1
        sides = {
            "kl": [(1.0, p, q)],
            "reverse-kl": [(1.0, q, p)],
            "jsd": [(0.5, p, m), (0.5, q, m)],
        }
        for weight, left, right in sides[kind]:
            total += weight * sum(
                a * math.log(a / b) for a, b in zip(left, right, strict=True) if a > 0
            )
    return total, count


@st.composite
def laws(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Laws of few outcomes, of which some cannot come, or none at all."""
    source = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    found = []
    for _ in range(2):
        nats = 3 * torch.randn(6, 257, generator=source, dtype=torch.float64)
        never = torch.rand(6, 257, generator=source) < draw(st.sampled_from([0.0, 0.3, 0.99]))
        nats = nats.masked_fill(never, -torch.inf)
        nats[draw(st.integers(0, 5))] = -torch.inf
        none = nats.isneginf().all(dim=1, keepdim=True)
        nats = nats.masked_fill(none, 0).log_softmax(1).masked_fill(none, -torch.inf)
        found.append(nats.clamp(min=IMPOSSIBLE))
    return found[0], found[1]


@pytest.mark.parametrize("kind", BYTE_DIVERGENCES)
@settings(max_examples=30, deadline=None)
@given(both=laws())
def test_the_divergence_is_its_formula_and_never_nan(
    kind: str, both: tuple[Tensor, Tensor]
) -> None:
    teacher, student = both[0], both[1].requires_grad_()
    found = byte_divergence(teacher, student, kind)
    total, count = slow(teacher, student, kind)
    assert int(found.count) == count
    assert value(found.total) == pytest.approx(total, abs=1e-9)
    assert value(found.total) >= -1e-9
    if kind == "jsd":
        assert value(found.total) <= count * math.log(2) + 1e-9
    (slope,) = torch.autograd.grad(found.total, student)
    assert slope.isfinite().all()


@pytest.mark.parametrize("kind", BYTE_DIVERGENCES)
def test_the_divergence_has_the_gradient_of_its_formula(kind: str) -> None:
    source = torch.Generator().manual_seed(1)
    teacher, scores = torch.randn(2, 3, 257, generator=source, dtype=torch.float64)
    teacher, never = teacher.log_softmax(1), torch.rand(3, 257, generator=source) < 0.2
    teacher[:, 5] = IMPOSSIBLE

    def of(logits: Tensor) -> Tensor:
        student = logits.masked_fill(never, -torch.inf).log_softmax(1).clamp(min=IMPOSSIBLE)
        return byte_divergence(teacher, student, kind).total

    assert torch.autograd.gradcheck(of, scores.requires_grad_())


def test_without_stops_the_bytes_are_renormalised() -> None:
    source = torch.Generator().manual_seed(2)
    teacher, student = torch.randn(2, 4, 257, generator=source, dtype=torch.float64).log_softmax(2)
    found = byte_divergence(teacher, student, stops=False).total
    bytes_alone = [law[:, :256].log_softmax(1) for law in (teacher, student)]
    assert float(found) == pytest.approx(slow(*bytes_alone, "kl")[0], abs=1e-10)


def test_it_is_at_least_the_divergence_of_two_outcomes() -> None:
    source = torch.Generator().manual_seed(3)
    teacher, student = torch.randn(2, 50, 257, generator=source, dtype=torch.float64).log_softmax(2)
    for p, q in zip(teacher, student, strict=True):
        whole = value(byte_divergence(p[None], q[None]).total)
        for byte in (0, 100, 256):
            a, b = float(p[byte].exp()), float(q[byte].exp())
            assert whole >= a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) - 1e-12


def test_another_name_is_refused() -> None:
    law = torch.zeros(1, 257)
    with pytest.raises(UsageError, match="'alm' is no divergence"):
        byte_divergence(law, law, "alm")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", BYTE_DIVERGENCES)
def test_a_student_equal_to_its_teacher_has_no_loss_and_no_gradient(
    lms: dict[tuple[str, int], ByteLM], family: str, kind: str
) -> None:
    lm = lms[family, 3]
    found = byte_kl(lm, lm, TEXTS, kind=kind)
    assert int(found.count) > 3
    assert value(found.total) == pytest.approx(0.0, abs=1e-12)
    assert all(float(slope.abs().max()) < 1e-12 for slope in gradients(lm, found.total))


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
@pytest.mark.parametrize("kind", ["kl", "jsd"])
def test_value_and_gradient_are_those_of_sums_over_all_covers(
    lms: dict[tuple[str, int], ByteLM], theirs: str, ours: str, kind: str
) -> None:
    teacher, student = lms[theirs, 3], lms[ours, 4]
    text = "a do"
    sides = [spell_places(lm, text, lm.context(None)) for lm in (teacher, student)]
    both = (sides[0].places >= 0) & (sides[1].places >= 0)
    both[-1] = False  # `laws_by_covers` ends before it
    with torch.no_grad():
        p = laws_by_covers(teacher, sides[0].data)[sides[0].places[both]]
    q = laws_by_covers(student, sides[1].data)[sides[1].places[both]]
    expected = byte_divergence(p, q, kind)
    (end,) = np.flatnonzero(~both & (sides[0].places >= 0) & (sides[1].places >= 0))
    laws = [
        lm.score(side.data, laws=True, differentiable=True).laws[[int(side.places[end])]]  # type: ignore[index]
        for lm, side in zip((teacher, student), sides, strict=True)
    ]
    last = byte_divergence(laws[0], laws[1], kind)
    found = byte_kl(teacher, student, [text], kind=kind)
    assert int(found.count) == int(expected.count + last.count) >= 3
    assert value(found.total) == pytest.approx(value(expected.total + last.total), abs=1e-9)
    compared(gradients(student, 30 * found.total), gradients(student, 30 * (expected + last).total))
    assert all(weight.grad is None for weight in teacher.model.parameters())


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_drawn_places_are_some_of_all_and_ask_less(
    lms: dict[tuple[str, int], ByteLM], theirs: str, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = lms[theirs, 3], lms[ours, 4]
    texts = ["the quick brown fox jumps", "and the other dogs", "a"]
    asked: list[int] = []
    plain = type(student)._tree

    def tree(self: Any) -> Any:
        made = plain(self)
        extend = made.extend

        def counted(parents: Any, tokens: Any, **more: Any) -> Any:
            asked.append(len(tokens))
            return extend(parents, tokens, **more)

        made.extend = counted
        return made

    monkeypatch.setattr(type(student), "_tree", tree)
    whole = byte_kl(teacher, student, texts)
    full, size = sum(asked), int(whole.count)
    alone = []
    for seed in range(40):
        asked.clear()
        one = byte_kl(teacher, student, texts, places=1, seed=seed)
        assert int(one.count) == 1
        assert sum(asked) < 0.6 * full
        alone.append(round(value(one.total), 9))
    again = byte_kl(teacher, student, texts, places=size - 1, seed=1)
    rest = value(whole.total - again.total)
    assert int(again.count) == size - 1
    assert len(set(alone)) > 5
    assert min(alone) - 1e-8 <= rest <= value(whole.total)
    same = [byte_kl(teacher, student, texts, places=3, seed=5).total for _ in range(2)]
    assert value(same[0]) == value(same[1])
    everything = byte_kl(teacher, student, texts, places=10**6)
    assert value(everything.total) == value(whole.total)


def test_drawn_places_have_their_own_gradient(lms: dict[tuple[str, int], ByteLM]) -> None:
    teacher, student = lms["bytebpe", 3], lms["spbpe", 4]
    text = "the quick fox"
    ones = [byte_kl(teacher, student, [text], places=1, seed=seed) for seed in range(60)]
    by_value = {round(value(one.total), 10): one.total for one in ones}
    whole = byte_kl(teacher, student, [text])
    assert len(by_value) == int(whole.count), "every place was drawn, none has the same value"
    compared(gradients(student, sum(by_value.values())), gradients(student, whole.total))  # type: ignore[arg-type]


def test_a_dummy_prefix_is_not_of_the_text(lms: dict[tuple[str, int], ByteLM]) -> None:
    plain, prefixed = lms["bytebpe", 3], lms["spbpe", 4]
    found = byte_kl(plain, prefixed, ["dog"])
    laws = plain.score("dog", laws=True).laws, prefixed.score("dog", laws=True).laws
    assert laws[0] is not None
    assert laws[1] is not None
    expected = byte_divergence(laws[0], laws[1][1:])
    assert int(found.count) == 4
    assert value(found.total) == pytest.approx(value(expected.total), abs=1e-9)


def test_a_text_that_goes_on_has_no_dummy_prefix(lms: dict[tuple[str, int], ByteLM]) -> None:
    plain, prefixed = lms["bytebpe", 3], lms["spbpe", 4]
    found = byte_kl(plain, prefixed, [b"dog"], begins=[False])
    assert prefixed.begin is not None
    laws = [lm.score(b"dog", [lm.begin or 0], laws=True).laws for lm in (plain, prefixed)]
    expected = byte_divergence(laws[0], laws[1])  # type: ignore[arg-type]
    assert value(found.total) == pytest.approx(value(expected.total), abs=1e-9)
    both = byte_kl(plain, prefixed, [b"dog", b"dog"], begins=[False, True])
    other = byte_kl(plain, prefixed, ["dog"])
    assert value(both.total) == pytest.approx(value((found + other).total), abs=1e-9)


@pytest.mark.parametrize(
    "text", ["½ Größe 😀", "NAÏVE cafe\u0301", b"caf\xc3", "<s> x", "▁", "Don't"]
)
def test_no_text_kills_a_run(lms: dict[tuple[str, int], ByteLM], text: str | bytes) -> None:
    for theirs, ours in itertools.permutations(FAMILIES, 2):
        found = byte_kl(lms[theirs, 3], lms[ours, 4], [text, "the dog"])
        assert found.total.isfinite()
        assert int(found.count) >= 7
        assert all(slope.isfinite().all() for slope in gradients(lms[ours, 4], found.total))


def test_places_of_a_text_that_a_tokenizer_changes_are_where_its_bytes_stay(
    lms: dict[tuple[str, int], ByteLM],
) -> None:
    lm = lms["wordpiece", 3]
    spelled = spell_places(lm, "The Dog.", lm.context(None))
    assert spelled.data == b" the dog ."
    raw = b"The Dog."
    kept = [at for at in range(8) if spelled.places[at] >= 0]
    assert bytes(raw[at] for at in kept) == b"he og."
    assert all(spelled.data[spelled.places[at]] == raw[at] for at in kept)
    assert spelled.places[-1] == len(spelled.data)


def test_no_place_at_all_is_no_loss(lms: dict[tuple[str, int], ByteLM]) -> None:
    found = byte_kl(lms["bytebpe", 3], lms["spbpe", 4], [])
    assert (value(found.total), found.count) == (0.0, 0)
    with pytest.raises(UsageError, match="At least 1 place"):
        byte_kl(lms["bytebpe", 3], lms["spbpe", 4], ["a"], places=0)
