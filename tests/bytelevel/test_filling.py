"""Fill-in-the-middle: templates by id, and healing at both seams."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tokenizers import AddedToken, Tokenizer

from tests.tiny import Tiny
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.filling import Fill, FillTemplate, own_tokens
from tokxfer.bytelevel.model import raw
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


def test_fills_are_drawn_and_cut_where_the_suffix_follows(lm: ByteLM) -> None:
    template = replace(FillTemplate.of(lm.vocabulary), seam=None)
    filled = [
        lm.fill(PREFIX, SUFFIX, template=template, max_new_bytes=30, seed=seed) for seed in range(8)
    ]
    assert len({one.data for one in filled}) > 1
    assert all(len(one.data) <= 30 + 20 for one in filled)
    seams = Fill.of(lm, lm.spell(PREFIX), raw(SUFFIX), template)
    drawn = lm.generate(seams.before, seams.context, max_new_bytes=30 + len(seams.behind), seed=3)
    whole = drawn.reason == "stop" and drawn.data.endswith(seams.behind)
    assert filled[3].whole == whole
    assert filled[3].data == (drawn.data[: -len(seams.behind)] if whole else drawn.data)


def test_bytes_are_encoded_as_they_are(lm: ByteLM) -> None:
    for text in ("dog and fox", " it's", "\n  x", "Größe"):
        assert spelled(lm, own_tokens(lm, text.encode())) == text.encode()
    assert own_tokens(lm, b"") == []
    if not lm.prefixed:
        assert own_tokens(lm, b"the dog isn't") == lm.vocabulary.encode("the dog isn't")


def test_models_without_markers_are_refused(tiny: Tiny) -> None:
    plain = ByteLM.from_pretrained(tiny.model("llama"))
    with pytest.raises(UsageError, match="no tokens that mark a prefix"):
        plain.fill("a", "b")
    with pytest.raises(UsageError, match="is no order"):
        FillTemplate(1, 2, 3, order="msp")
