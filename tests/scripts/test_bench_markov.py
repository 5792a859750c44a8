"""A known source comes back from the law of its tokens by `ByteLM`, not by token prompts."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.rules import rule_of
from tokxfer.vocabulary import ByteVocabulary

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    ("byte-level BPE", 2),
    ("byte-level BPE", 1),
    ("SentencePiece BPE", 2),
    ("Unigram", 2),
    ("WordPiece", 2),
]


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "bench"))
        yield importlib.import_module("markov")


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest, bench: ModuleType) -> Any:
    name, order = request.param
    return bench.Case.of(name, order=order, seed=3, texts=3)


def encoded(bench: ModuleType, case: Any, text: bytes) -> list[int]:
    """A text's tokens by the tokenizers library."""
    return bench.Prompts(case.law, case.vocabulary, case.family).encode(text.decode())


def nats(case: Any, ids: list[int]) -> float:
    """Log-probability of some tokens, by the law."""
    states = [case.law.state(ids[:place]) for place in range(len(ids))]
    return sum(case.law.row(state)[token] for state, token in zip(states, ids, strict=True))


def test_every_text_has_exactly_one_encoding(bench: ModuleType, case: Any) -> None:
    assert case.law.going_on[0] == pytest.approx(1.0, abs=bench.EXACT)
    np.testing.assert_allclose(np.exp(case.law.nats).sum(axis=1), 1.0, rtol=1e-9)


def test_encodings_are_as_likely_as_their_texts(bench: ModuleType, case: Any) -> None:
    """Of all short texts and some long ones; so no other sequences have any probability."""
    stop = case.vocabulary.roles["eos"]
    short = list(case.source.texts(5))
    assert len(short) > 100
    for text in [*short, *case.texts]:
        ids = encoded(bench, case, text)
        assert b"".join(case.vocabulary.tokens[token] for token in ids) == text
        found = np.exp(nats(case, [*ids, stop]))
        assert found == pytest.approx(case.source.whole(text), rel=1e-9)


def test_beginnings_of_encodings_are_as_likely_as_texts_that_have_them(
    bench: ModuleType, case: Any
) -> None:
    """Between what short texts sum up to and that with all longer ones."""
    seen: dict[tuple[int, ...], float] = {}
    longer = 1.0
    for text in case.source.texts(6):
        share = case.source.whole(text)
        longer -= share
        ids = encoded(bench, case, text)
        for size in (1, 2):
            if len(ids) >= size:
                seen[tuple(ids[:size])] = seen.get(tuple(ids[:size]), 0.0) + share
    for ids, share in seen.items():
        assert share - 1e-9 <= np.exp(nats(case, list(ids))) <= share + longer + 1e-9


def test_the_source_comes_back_at_every_cut(bench: ModuleType, case: Any) -> None:
    """Gone on from byte by byte, scored as a whole, and each prompt by itself."""
    for text in case.texts:
        together = np.exp(case.lm.score(text, laws=True).laws.numpy())
        for cut, law in enumerate(bench.exact(case.lm, text), start=1):
            truth = case.source.law(text[:cut])
            assert bench.distance(law, truth) < 1e-9, text[:cut]
            assert bench.distance(together[cut], truth) < 1e-9, text[:cut]
    text = case.texts[0]
    for cut in range(1, len(text) + 1):
        found = case.lm.next_byte(text[:cut])
        law = np.exp(np.append(found.nats.numpy(), found.stop))
        assert bench.distance(law, case.source.law(text[:cut])) < 1e-9, text[:cut]


def test_scores_are_the_sources(case: Any) -> None:
    for text in case.texts:
        expected = np.log(case.source.whole(text))
        score = case.lm.score(text)
        assert score.total + score.stop == pytest.approx(expected, abs=1e-8)
        assert score.mass == pytest.approx(np.log(case.source.of(b"", text)), abs=1e-8)
        smooth = case.lm.score(text, differentiable=True)
        assert smooth.total + smooth.stop == pytest.approx(expected, abs=1e-8)


def test_bounds_hold_the_truth_where_little_is_asked(case: Any) -> None:
    for text in case.texts:
        state = case.lm.start(epsilon=0.2)
        for cut, found in enumerate(state.push(text), start=1):
            truth = case.source.law(text[:cut])
            assert (np.exp(found.lower.numpy()) <= truth + 1e-9).all()
            assert (np.exp(found.upper.numpy()) >= truth - 1e-9).all()


def test_token_prompts_and_healing_are_biased(bench: ModuleType, case: Any) -> None:
    off: dict[str, list[float]] = {}
    for method, laws in bench.local(case):
        for text, row in zip(case.texts, laws, strict=True):
            for cut, law in enumerate(row, start=1):
                if law is not None:
                    assert law.sum() == pytest.approx(1.0)
                    distance = bench.distance(law, case.source.law(text[:cut]))
                    off.setdefault(method, []).append(distance)
    assert np.mean(off["token prompt"]) > 0.1
    assert np.mean(off["token healing"]) > 0.01
    assert max(off["token healing"]) > 0.2
    assert max(off["ByteLM"]) < 1e-9


def test_texts_with_words_too_long_for_wordpiece_have_no_encoding(bench: ModuleType) -> None:
    """The probability of such a word, step by step from the source alone."""
    family, longest = bench.FAMILIES["WordPiece"], 12
    source = bench.draw(family.characters, 2, 3, words=True)
    generator = np.random.default_rng(3)
    tokenizer = family.make([source.sample(generator).decode() for _ in range(200)])
    content = json.loads(tokenizer.to_str())
    content["model"]["max_input_chars_per_word"] = longest
    shorter = Tokenizer.from_str(json.dumps(content))
    vocabulary = ByteVocabulary.from_tokenizer(shorter, bench.ROLES)
    law = bench.token_law(source, rule_of(vocabulary), vocabulary.roles["eos"])
    passed, standing = 0.0, {(b"", 0): 1.0}  # by context, and letters of the last word
    for _ in range(300):
        further: dict[tuple[bytes, int], float] = {}
        for (context, letters), share in standing.items():
            following = source.laws[context][:256]
            for byte in np.flatnonzero(following).tolist():
                going = 0 if byte == ord(" ") else letters + (not 0x80 <= byte < 0xC0)
                key = (source.context(context + bytes([byte])), going)
                if going > longest:
                    passed += share * following[byte]
                else:
                    further[key] = further.get(key, 0.0) + share * following[byte]
        standing = further
    assert passed > 0.01
    assert 1 - law.going_on[0] == pytest.approx(passed, rel=1e-9)


def test_a_prompt_is_healed_by_tokens_that_begin_with_its_last(bench: ModuleType) -> None:
    """By hand: P(next byte | head, and the next token begins with the last one)."""
    case = bench.Case.of("byte-level BPE", order=2, seed=3, texts=2)
    prompts = bench.Prompts(case.law, case.vocabulary, case.family)
    tokens, stop = case.vocabulary.tokens, case.vocabulary.roles["eos"]
    text = next(t for t in case.texts if len(encoded(bench, case, t)) > 3)
    *head, last = encoded(bench, case, text)
    joint = np.zeros(257)
    for token in case.vocabulary.text_ids.tolist():
        share = np.exp(case.law.row(case.law.state(head))[token])
        if token == last:
            then = np.exp(case.law.row(case.law.state([*head, last])))
            joint[256] += share * then[stop]
            for second in case.vocabulary.text_ids.tolist():
                joint[tokens[second][0]] += share * then[second]
        elif tokens[token].startswith(tokens[last]):
            joint[tokens[token][len(tokens[last])]] += share
    np.testing.assert_allclose(prompts.healed(text), joint / joint.sum(), atol=1e-12)


def test_the_law_of_all_sequences_knows_the_source_without_a_text(bench: ModuleType) -> None:
    case = bench.Case.of("SentencePiece BPE", order=2, seed=3, texts=1)
    everything = ByteLM(
        None, case.vocabulary, stops=case.lm.stops, law="all", horizon=99, trees=case.law.tree
    )
    for cut, law in enumerate(bench.exact(everything, case.texts[0][:6]), start=1):
        assert bench.distance(law, case.source.law(case.texts[0][:cut])) < 1e-9


def test_the_script_writes_its_table_picture_and_figures(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, plot, figures = (tmp_path / name for name in ("page.md", "plots/m.svg", "all.json"))
    page.write_text("<!-- table:markov -->\n<!-- /table -->\n")

    def without_beam(case: Any, widths: list[int]) -> dict[str, Any]:
        """A peer that is right, but for the last text, where its beam is empty."""
        laws = [list(bench.exact(case.lm, text)) for text in case.texts]
        laws[-1] = [None for _ in laws[-1]]
        return {f"genlm-bytes, K {width}": laws for width in widths}

    monkeypatch.setattr(bench, "genlm", without_beam)
    bench.main([
        *("--families", "byte-level BPE", "--texts", "2", "--widths", "3", "--seed", "1"),
        *("--page", str(page), "--plot", str(plot), "--json", str(figures)),
    ])  # fmt: skip
    written, document = page.read_text("utf-8"), json.loads(figures.read_text("utf-8"))
    assert "](plots/m.svg)" in written
    assert plot.read_text("utf-8").startswith("<?xml")
    sizes = [len(bytes.fromhex(text)) for text in document["cases"][0]["texts"]]
    assert f"|  | **ByteLM** | {sum(sizes)} | " in written
    assert f"|  | genlm-bytes, K 3 | {sizes[0]} | " in written
    off = [run["off"] for run in document["runs"] if run["method"] == "ByteLM"]
    assert len(off) == sum(sizes)
    assert max(off) < 1e-9
