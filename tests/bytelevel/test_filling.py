"""Fill-in-the-middle: templates by id, and healing at both seams."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from tokenizers import AddedToken, Tokenizer

from tests.bytelevel.enumeration import MORE, canonical, covers
from tests.bytelevel.enumeration import spelled as spelled_text
from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM, filling
from tokxfer.bytelevel.filling import Fill, Filled, FillTemplate, agreed_tokens, own_tokens
from tokxfer.bytelevel.given import raw
from tokxfer.errors import UsageError

MARKERS = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
PREFIX, SUFFIX = "the quick bro", "x jumps over"


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(
    request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory
) -> ByteLM:
    folder = tmp_path_factory.mktemp("fim")
    source = tiny.tokenizer(request.param)
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in MARKERS])
    tokenizer.save(path)
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer=folder, seed=5))


def spelled(lm: ByteLM, ids: list[int]) -> bytes:
    return b"".join(lm.tokens.rule.tokens[token] for token in ids)


def test_markers_are_found_by_name(lm: ByteLM) -> None:
    template = FillTemplate.of(lm.vocabulary)
    found = [lm.vocabulary.names[id] for id in (template.prefix, template.suffix, template.middle)]
    assert found == MARKERS


def test_the_prefix_first(lm: ByteLM) -> None:
    template = replace(FillTemplate.of(lm.vocabulary), seam=None)
    seams = Fill.of(lm, lm.spell(PREFIX), raw(SUFFIX), template)
    ids = seams.context
    assert ids[:2] == [lm.begin, template.prefix]
    hole, end = ids.index(template.suffix), len(ids) - 1
    assert ids[end] == template.middle
    assert spelled(lm, ids[2:hole]) + seams.before == lm.spell(PREFIX)
    assert seams.behind + spelled(lm, ids[hole + 1 : end]) == raw(SUFFIX)
    assert seams.before
    assert seams.behind


def test_the_suffix_first(lm: ByteLM) -> None:
    template = replace(FillTemplate.of(lm.vocabulary, "spm"), seam=None)
    seams = Fill.of(lm, lm.spell(PREFIX), raw(SUFFIX), template)
    assert seams.before == lm.spell(PREFIX)
    assert seams.context[1:3] == [template.prefix, template.suffix]
    assert seams.behind + spelled(lm, seams.context[3:-1]) == raw(SUFFIX)


def test_the_seams_may_be_set_and_a_side_may_be_empty(lm: ByteLM) -> None:
    template = FillTemplate(5, 6, 7)
    seams = Fill.of(lm, b"", raw(SUFFIX), template)
    assert (seams.before, seams.behind) == (b"", b"")
    assert Fill.of(lm, b"a", b"", template).context[-2:] == [6, 7]


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_a_middle_is_scored_with_its_end(lm: ByteLM, order: str) -> None:
    template = replace(FillTemplate.of(lm.vocabulary, order), seam=None)
    seams = Fill.of(lm, lm.spell(PREFIX), raw(SUFFIX), template)
    found = lm.score_fill(PREFIX, "wn fo", SUFFIX, template=template)
    state = lm.start(seams.context)
    laws = state.push(seams.before)
    expected = 0.0
    law = laws[-1]
    for byte in b"wn fo" + seams.behind:
        expected += float(law.nats[byte])
        (law,) = state.push(bytes([byte]))
    assert found == pytest.approx(expected + law.stop, abs=1e-4)


CUT = {
    False: "the oth",
    True: "th",
}  # where two tokens may change, by whether a space is put before
SHORT = ["the oth", "would whic", "I don'", "123"]  # their ends are several tokens


@pytest.mark.parametrize("text", SHORT)
def test_all_canonical_covers_begin_with_what_is_agreed_on(lm: ByteLM, text: str) -> None:
    """Those of the whole prefix, by enumeration; what is agreed on is no less than it might be."""
    data = lm.spell(text)
    head = agreed_tokens(lm, data)
    rows = [row for row in covers(lm.vocabulary, data) if canonical(lm.vocabulary, row)]
    assert rows
    assert all(row[: len(head)] == head for row in rows)
    within = [row if spelled(lm, row) == data else row[:-1] for row in rows]
    pairs = itertools.takewhile(lambda ids: len(set(ids)) == 1, zip(*within, strict=False))
    common = [ids[0] for ids in pairs]
    assert head == common or own_tokens(lm, spelled(lm, common)) != common


def test_one_token_taken_back_would_not_do(lm: ByteLM) -> None:
    data = lm.spell(CUT[lm.prefixed])
    healed = own_tokens(lm, data)[:-1]
    rows = [row for row in covers(lm.vocabulary, data) if canonical(lm.vocabulary, row)]
    strays = [row for row in rows if row[: len(healed)] != healed]
    assert strays
    assert agreed_tokens(lm, data) == own_tokens(lm, data)[:-2]


@torch.no_grad()
def test_the_first_byte_of_a_middle_has_the_law_of_all_covers(
    lm: ByteLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By enumeration of what covers the prefix, each cover weighed by the model."""
    monkeypatch.setattr(filling, "NEAR", 0)
    data, vocabulary = lm.spell(CUT[lm.prefixed]), lm.vocabulary
    head = agreed_tokens(lm, data)
    template = FillTemplate.of(vocabulary)
    rest = own_tokens(lm, raw(SUFFIX))
    before = [lm.begin, template.prefix, *head, template.suffix, *rest, template.middle]
    texts = [t for t in range(vocabulary.size) if lm.canonical.tokens[t]]
    masses, unsure = [0.0] * 256, set[int]()
    for row in covers(vocabulary, data):
        if row[: len(head)] != head or canonical(vocabulary, row) is False:
            continue
        whole = spelled(lm, row) == data
        for longer in [[*row, token] for token in texts] if whole else [row]:
            byte, known = spelled(lm, longer)[len(data)], canonical(vocabulary, longer)
            if known is None:
                unsure.add(byte)
            elif known:
                tail = longer[len(head) :]
                logits = lm.model(input_ids=torch.tensor([[*before, *tail]])).logits[0, :-1]
                nats = logits[:, : vocabulary.size].double().log_softmax(dim=-1)
                nats = nats[len(before) - 1 :]
                masses[byte] += float(nats[torch.arange(len(tail)), tail].sum().exp())
    seams = Fill.of(lm, data, raw(SUFFIX), template)
    law = lm.next_byte(seams.before, seams.context)
    sure = [byte for byte in range(128) if masses[byte] and byte not in unsure]
    assert len(sure) > 20
    for byte in sure:
        told = float(law.nats[byte] - law.nats[sure[0]])
        assert told == pytest.approx(math.log(masses[byte] / masses[sure[0]]), abs=1e-3)
    start = Fill.of(lm, b"", b"", template).context[:2]
    healed = [*start, *own_tokens(lm, data)[:-1], template.suffix, *rest, template.middle]
    biased = lm.next_byte(data[len(spelled(lm, healed[2 : -len(rest) - 2])) :], healed)
    assert float((biased.nats - law.nats)[sure].abs().max()) > 0.1


@pytest.mark.parametrize("family", ["bytebpe", "qwen", "spbpe", "unigram", "wordpiece"])
@pytest.mark.parametrize("law", ["canonical", "all"])
def test_the_tokenizer_never_goes_back_on_what_is_agreed_on(
    tiny: Tiny, family: str, law: str
) -> None:
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer=family), law=law)
    less = 0
    for text in (
        "the oth",
        "th",
        "quic",
        "and wit",
        "the girl wh",
        "I don",
        "a  ",
        "two  spa",
        "The quick bro",
    ):
        data = lm.spell(text)
        head = agreed_tokens(lm, data)
        less += len(head) < len(own_tokens(lm, data))
        assert data.startswith(spelled(lm, head))
        assert own_tokens(lm, spelled(lm, head)) == head
        for more in MORE:
            whole = spelled_text(lm.vocabulary, text + more)
            if whole.startswith(data):
                assert own_tokens(lm, whole)[: len(head)] == head
        rest = data[len(spelled(lm, head)) :]
        assert rest == b"" or lm.next_byte(rest, [lm.begin or 0]).mass > -math.inf
    assert less


def test_a_prefix_may_stop_within_a_character_and_a_suffix_begin_there(lm: ByteLM) -> None:
    template, both = FillTemplate.of(lm.vocabulary), "é".encode()
    seams = Fill.of(lm, lm.spell("caf") + both[:1], both[1:] + b"s", template)
    assert seams.before.endswith(b"caf" + both[:1])
    assert seams.behind == both[1:]
    seams = Fill.of(lm, b"", "éa".encode(), replace(template, seam=1))
    assert seams.behind == both
    with pytest.raises(UsageError, match="seam must be 0"):
        replace(template, seam=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.9])
def test_a_middle_ends_where_the_suffix_can_follow(lm: ByteLM, temperature: float) -> None:
    """By a model that would end at once nearly everywhere: in tokens, and in bytes."""
    template, size = replace(FillTemplate.of(lm.vocabulary), seam=1), 40

    def hurry(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        raised = output.clone()
        raised[..., lm.stops] += 8
        raised[..., [t for t, data in enumerate(lm.canonical.tokens) if data[-1:] == b" "]] += 5
        return raised

    def drawn(seam: int) -> list[Filled]:
        return [
            lm.fill(
                PREFIX, " jumps", template=replace(template, seam=seam), max_new_bytes=size,
                temperature=temperature, seed=seed,
            )
            for seed in range(12)
        ]  # fmt: skip

    hook = lm.model.lm_head.register_forward_hook(hurry)
    try:
        anywhere, behind = drawn(0), drawn(1)
    finally:
        hook.remove()
    assert sum(one.whole for one in anywhere) >= 10
    whole = [one.data for one in behind if one.whole]
    cut = [one.data for one in behind if not one.whole]
    assert len(whole) >= 4
    assert all(len(data) == size for data in cut)


def test_fills_have_no_more_bytes_than_asked_for(lm: ByteLM) -> None:
    template = replace(FillTemplate.of(lm.vocabulary), seam=None)
    filled = [
        lm.fill(PREFIX, SUFFIX, template=template, max_new_bytes=9, seed=seed) for seed in range(8)
    ]
    assert len({one.data for one in filled}) > 1
    assert {len(one.data) for one in filled if not one.whole} == {9}
    with pytest.raises(UsageError, match="At least one byte"):
        lm.fill(PREFIX, SUFFIX, template=template, max_new_bytes=0)


def test_what_stands_before_may_be_given(lm: ByteLM) -> None:
    template = FillTemplate.of(lm.vocabulary)
    seams = Fill.of(lm, b" a", b" b", template, [])
    assert seams.context[0] == template.prefix
    options = {"template": template, "max_new_bytes": 5, "temperature": 0}
    state = lm.start([*lm.context("dog"), *seams.context]).push(seams.before)[-1]
    found = lm.fill(b" a", b" b", context="dog", **options)
    assert found.data[:1] == state.top(1)[0][0]
    assert lm.score_fill(b" a", b"c", b" b", template=template, context=[]) != pytest.approx(
        lm.score_fill(b" a", b"c", b" b", template=template), abs=1e-3
    )


def test_bytes_are_encoded_as_they_are(lm: ByteLM) -> None:
    for text in ("dog and fox", " it's", "\n  x", "Größe"):
        assert spelled(lm, own_tokens(lm, text.encode())) == text.encode()
    assert own_tokens(lm, b"") == []
    if not lm.prefixed:
        assert own_tokens(lm, b"the dog isn't") == lm.vocabulary.encode("the dog isn't")


def test_models_without_markers_are_refused(tiny: Tiny) -> None:
    plain = ByteLM.from_pretrained(tiny.model("llama"))
    with pytest.raises(UsageError, match="no tokens known to mark a prefix"):
        plain.fill("a", "b")
    with pytest.raises(UsageError, match="is no order"):
        FillTemplate(1, 2, 3, order="msp")


def test_markers_of_other_names_are_given_by_id_or_name(tiny: Tiny) -> None:
    vocabulary = ByteLM.from_pretrained(tiny.model("llama")).vocabulary
    names = vocabulary.names
    found = FillTemplate.of(vocabulary, "spm", (7, "9", names[300]))
    assert found == FillTemplate(7, 9, 300, order="spm")
    for odd in ("<NO>", str(vocabulary.size), -1, "٣"):
        with pytest.raises(UsageError, match=r"has no token .* to mark a part with"):
            FillTemplate.of(vocabulary, markers=(7, 9, odd))
