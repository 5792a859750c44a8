"""`ByteLM` on models: the chain rule, cuts anywhere, and enumeration with the model itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from tests.bytelevel.enumeration import canonical, covers, prefixed
from tests.bytelevel.test_windows import window
from tests.tiny import Tiny, build_config, build_model
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.treemodel import RowTree
from tokxfer.errors import TokxferError, UnsupportedError, UsageError
from tokxfer.vocabulary import ByteVocabulary, read_vocabulary
from tokxfer.workflows.scoring import cut

TEXT = "It's a  dog,\n\nisn't it?"


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> ByteLM:
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))


def test_a_score_is_the_chain_of_next_bytes(lm: ByteLM) -> None:
    data = lm.spell(TEXT)
    scores = lm.score(TEXT).nats
    assert scores.shape == (len(data),)
    for place in range(len(data)):
        alone = lm.next_byte(data[:place])
        assert float(scores[place]) == pytest.approx(float(alone.nats[data[place]]), abs=1e-5)
        assert float(alone.nats.exp().sum()) + torch.tensor(alone.stop).exp() == pytest.approx(1)


def test_any_tree_that_answers_is_a_model(lm: ByteLM) -> None:
    rows = ByteLM(
        None, lm.vocabulary, stops=lm.stops, trees=lambda: RowTree(lm.model, lm.vocabulary.size)
    )
    assert rows.context(None) == lm.context(None)
    torch.testing.assert_close(rows.score(TEXT).nats, lm.score(TEXT).nats, rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.next_byte("a").nats, lm.next_byte("a").nats, atol=1e-5, rtol=0)


def test_the_likeliest_bytes_come_first(lm: ByteLM) -> None:
    law = lm.next_byte("The do")
    top = law.top(4)
    assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
    assert top[0][1] == pytest.approx(float(law.nats.max().exp()))
    assert law.nats[top[0][0][0]] == law.nats.max()


def test_canonical_mass_is_that_of_the_models_own_sequences(lm: ByteLM) -> None:
    for text in ("a", "the", "x  "):
        equals_enumeration(lm, text, tolerance=1e-6)


def test_canonical_mass_of_a_real_model(shared: Path) -> None:
    single = ByteLM.from_pretrained(shared / "models" / "stories260K")
    for text in ("Onc", "Lily'", "a  b", "x\n\n"):
        equals_enumeration(single, text, tolerance=1e-5)
    double = ByteLM(single.model.double(), single.vocabulary, stops=single.stops)
    for text in ("Onc", "Lily'", "a  b", "x\n\n"):
        equals_enumeration(double, text, tolerance=1e-12)


@torch.no_grad()
def equals_enumeration(lm: ByteLM, text: str, tolerance: float) -> None:
    """Canonical mass lies between what is surely canonical and what may be."""
    begin, size = lm.vocabulary.roles["bos"], lm.vocabulary.size

    def probability(row: list[int]) -> float:
        logits = lm.model(input_ids=torch.tensor([[begin, *row]])).logits[0, :-1, :size]
        nats = logits.double().log_softmax(dim=-1)
        return float(nats[torch.arange(len(row)), row].sum().exp())

    data = lm.spell(text)
    judged = [(row, canonical(lm.vocabulary, row)) for row in covers(lm.vocabulary, data)]
    surely = sum(probability(row) for row, told in judged if told)
    maybe = sum(probability(row) for row, told in judged if told is None)
    found = math.exp(lm.score(data).mass)
    assert surely > 0
    assert surely - tolerance <= found <= surely + maybe + tolerance


def test_scores_have_gradients(lm: ByteLM) -> None:
    lm.score("the dog", differentiable=True).nats.sum().backward()
    head: Any = lm.model.get_output_embeddings().weight
    assert torch.isfinite(head.grad).all()
    assert head.grad.abs().sum() > 0
    lm.model.zero_grad()


def test_text_gets_the_space_that_encoding_puts_there(lm: ByteLM) -> None:
    assert lm.spell("dog") == (b" dog" if prefixed(lm.vocabulary) else b"dog")
    assert lm.spell(b"dog") == b"dog"


def test_what_has_no_rule_is_refused(tiny: Tiny) -> None:
    folder = tiny.model("llama", tokenizer="unigram")
    lm = ByteLM.from_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["unk_id"] = None
    refused = ByteVocabulary.from_tokenizer(Tokenizer.from_str(json.dumps(content)))
    with pytest.raises(UnsupportedError, match="no rule is known"):
        ByteLM(lm.model, refused, stops=[])


def test_a_context_may_be_ids_and_must_not_be_empty(lm: ByteLM) -> None:
    told = lm.next_byte("dog", context=[lm.vocabulary.roles["bos"]])
    torch.testing.assert_close(told.nats, lm.next_byte("dog").nats)
    other = lm.next_byte("dog", context=[5, 9])
    assert not torch.allclose(told.nats, other.nats)
    with pytest.raises(UsageError, match="prompt is empty"):
        lm.next_byte("", context=[])


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_where_a_prompt_is_cut_does_not_matter(lm: ByteLM, law: str) -> None:
    other = ByteLM(lm.model, lm.vocabulary, stops=lm.stops, law=law, horizon=1)
    data = lm.spell(TEXT)
    whole = [other.start().law, *other.start().push(data)]
    score = other.score(data, laws=True)
    assert score.laws is not None
    for size in (1, 4, 9):
        state = other.start()
        laws = [state.law]
        for at in range(0, len(data), size):
            laws += state.push(data[at : at + size])
        assert state.push(b"") == []
        assert state.asked == score.asked
        for place, (found, expected) in enumerate(zip(laws, whole, strict=True)):
            torch.testing.assert_close(found.nats, expected.nats, rtol=0, atol=1e-4)
            torch.testing.assert_close(found.nats, score.laws[place, :256], rtol=0, atol=1e-4)
            assert found.mass == pytest.approx(expected.mass, abs=1e-4)
            assert found.law == law
            stops = torch.tensor(list(found.stops.values()), dtype=torch.float64)
            assert float(stops.logsumexp(0)) == pytest.approx(found.stop)


@torch.no_grad()
def test_all_mass_is_that_of_all_sequences(shared: Path) -> None:
    lm = ByteLM.from_pretrained(shared / "models" / "stories260K", law="all", horizon=9)
    lm.model.double()
    texts = ("Onc", "a  b", "x\n", "é")
    plain = ByteLM(lm.model, lm.vocabulary, stops=lm.stops)
    for score, own in zip(lm.score([*texts]), plain.score([*texts]), strict=True):
        exact = math.log(sum(probability(lm, row) for row in covers(lm.vocabulary, score.data)))
        assert score.mass == pytest.approx(exact, rel=1e-12, abs=1e-12)
        assert score.mass >= own.mass


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "gemma"])
def test_all_mass_of_other_models(tiny: Tiny, kind: str) -> None:
    lm = ByteLM.from_pretrained(
        tiny.model(kind, tokenizer="bytebpe")
        if kind != "qwen2"
        else tiny.model("llama", tokenizer="chat"),
        law="all",
    )
    for text in ("the", "x  "):
        score = lm.score(text)
        exact = sum(probability(lm, row) for row in covers(lm.vocabulary, score.data))
        assert math.exp(score.mass) == pytest.approx(exact, abs=1e-6)


def probability(lm: ByteLM, row: list[int]) -> float:
    """Of a sequence's tokens behind the token that begins texts."""
    ids = torch.tensor([[*lm.context(None), *row]])
    nats = lm.model(input_ids=ids).logits[0, :, : lm.vocabulary.size].double().log_softmax(dim=-1)
    if lm.begin is None:
        first = -math.log(lm.vocabulary.size)
        return math.exp(first + float(nats[torch.arange(len(row) - 1), row[1:]].sum()))
    return float(nats[torch.arange(len(row)), row].sum().exp())


@pytest.fixture(scope="module")
def single_bytes() -> ByteLM:
    """A model whose tokens are the bytes, and one that ends texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    return ByteLM(build_model("gpt2", rows=260, length=24).double(), vocabulary, stops=[256])


@torch.no_grad()
@pytest.mark.parametrize("law", ["canonical", "all"])
def test_a_model_of_bytes_is_left_as_it_is(single_bytes: ByteLM, law: str) -> None:
    lm = ByteLM(single_bytes.model, single_bytes.vocabulary, stops=[256], law=law)
    data = (
        "It's a  dog,\n é!\0 and the text goes on beyond the model's length.".encode() + b"\xff\x80"
    )
    score = lm.score(data, context=[256], laws=True)
    assert score.asked == len(data) + 1
    assert score.laws is not None
    ids = [256, *(single_bytes.tokens.order.ids[byte] for byte in data)]
    for place in range(len(data) + 1):
        row = torch.tensor([window([int(token) for token in ids[: place + 1]], 24)])
        nats = lm.model(row).logits[0, -1, :257].log_softmax(dim=0)
        expected = nats[[*lm.tokens.order.ids.tolist(), 256]]
        torch.testing.assert_close(score.laws[place], expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_windows_are_those_of_evaluate(single_bytes: ByteLM) -> None:
    data = b"It goes on, and on, far beyond the length that this model was made for, and ends."
    ids = torch.tensor([256, *(single_bytes.tokens.order.ids[byte] for byte in data)])
    expected = torch.zeros(len(ids))
    for one in cut(0, len(ids), 24):
        logits = single_bytes.model(ids[None, one.start : one.stop - 1]).logits[0]
        nats = logits[:, :257].log_softmax(dim=-1).gather(1, ids[one.start + 1 : one.stop, None])
        expected[one.scored : one.stop] = nats[one.scored - one.start - 1 :, 0].float()
    found = single_bytes.score(data, context=[256]).nats
    torch.testing.assert_close(found.float(), expected[1:], rtol=0, atol=1e-5)


def test_nothing_before_a_text_makes_every_token_equally_likely(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(tiny.model("llama", tokenizer="bytebpe"))
    law = lm.start([]).law
    first = [spelled[:1] for token, spelled in enumerate(lm.vocabulary.tokens) if spelled]
    normal = [one for one in first if one == b"t"]
    ratio = math.exp(float(law.nats[ord("t")] - law.nats[0xFF]))
    assert ratio == pytest.approx(len(normal) / first.count(b"\xff"), rel=0.2)
    told = lm.next_byte("dog", context=[])
    assert torch.isfinite(told.nats).all()
    assert not torch.allclose(told.nats, lm.next_byte("dog").nats)


def test_rows_that_only_pad_a_model_get_nothing(tiny: Tiny) -> None:
    folder = tiny.model("llama", tokenizer="bytebpe", rows=512, tied=False)
    lm = ByteLM.from_pretrained(folder)
    before = lm.score("The dog", laws=True)
    lm.model.lm_head.weight.data[lm.vocabulary.size :] *= 100
    after = lm.score("The dog", laws=True)
    torch.testing.assert_close(before.laws, after.laws)
    assert before.mass == after.mass


def test_a_model_that_reads_rows_says_what_it_says(tiny: Tiny) -> None:
    import transformers

    vocabulary = read_vocabulary(tiny.tokenizer("bytebpe"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BloomConfig(
            vocab_size=vocabulary.size, hidden_size=16, n_layer=2, n_head=2, initializer_range=0.3
        )
        lm = ByteLM(transformers.BloomForCausalLM(config).eval(), vocabulary)
    data = b"a dog"
    score = lm.score(data, context=[5])
    assert score.asked >= len(data)
    one_pass = lm.score(data, context=[5], differentiable=True)
    torch.testing.assert_close(score.nats, one_pass.nats.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["ForMaskedLM", "LMHeadModel", "Model"])
def test_encoders_are_refused(tiny: Tiny, kind: str) -> None:
    import transformers

    config = build_config("bert", rows=420, hidden=16, layers=2, tied=True, length=32)
    model = getattr(transformers, f"Bert{kind}")(config).eval()
    vocabulary = read_vocabulary(tiny.tokenizer("bytebpe"))
    with pytest.raises(UnsupportedError, match=r"is an encoder|has no head"):
        ByteLM(model, vocabulary)
    folder = tiny.copy(tiny.model("bert"))
    model.save_pretrained(folder)
    with pytest.raises(TokxferError, match=r"is an encoder|not a causal language model"):
        ByteLM.from_pretrained(folder)


def test_other_models_and_settings_are_refused(tiny: Tiny) -> None:
    import transformers

    vocabulary = read_vocabulary(tiny.tokenizer("bytebpe"))
    model = build_model("llama", rows=vocabulary.size)
    t5 = transformers.T5Config(
        vocab_size=420, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    with pytest.raises(UnsupportedError, match="encoder-decoder"):
        ByteLM(transformers.T5ForConditionalGeneration(t5), vocabulary)
    with pytest.raises(UnsupportedError, match="knows 300 ids, but its tokenizer has"):
        ByteLM(build_model("llama", rows=300), vocabulary)
    with pytest.raises(UsageError, match="is to end texts"):
        ByteLM(model, vocabulary, stops=[0, vocabulary.size])
    with pytest.raises(UsageError, match="'every' is not a law"):
        ByteLM(model, vocabulary, law="every")
    with pytest.raises(UsageError, match="horizon must be 0"):
        ByteLM(model, vocabulary, horizon=-1)
    lm = ByteLM(model, vocabulary)
    for epsilon in (-0.1, 1.0, math.nan):
        with pytest.raises(UsageError, match="Epsilon must be"):
            lm.score("a", epsilon=epsilon)
    with pytest.raises(UsageError, match="no text to score"):
        lm.bits_per_byte(["", ""])


def test_bits_are_counted_per_byte_as_given(lm: ByteLM) -> None:
    texts = ["The dog", "é!"]
    nats = sum(lm.score(text).total for text in texts)
    assert lm.bits_per_byte(texts) == pytest.approx(-nats / math.log(2) / 10)
    assert lm.bits_per_byte("é!") == pytest.approx(-lm.score("é!").total / math.log(2) / 3)


def test_a_model_with_a_short_window_and_a_long_text(tiny: Tiny) -> None:
    lm = ByteLM.from_pretrained(
        tiny.model("gpt2", tokenizer="bytebpe", length=6), law="all", horizon=2
    )
    score = lm.score(" " * 30 + "\n\n  the end", epsilon=0.01)
    assert torch.isfinite(score.nats).all()
    assert (score.nats > -1e29).all()


@pytest.mark.parametrize("text", ["cafe\u0301 society, and more of it", 4 * "e\u0301"])
def test_no_text_is_impossible_under_the_law_of_all(tiny: Tiny, text: str) -> None:
    """A tokenizer that composes characters writes none apart, but sequences do spell them."""
    folder = tiny.model("llama", tokenizer="qwen", seed=3)
    found = ByteLM.from_pretrained(folder, law="all").score(text.encode())
    assert float(found.nats.min()) > -100
    assert float(ByteLM.from_pretrained(folder).score(text.encode()).nats.min()) < -1e29
    plain = "the quick brown fox"
    composed = ByteLM.from_pretrained(folder, law="all", horizon=len(plain)).score(plain)
    assert composed.mass >= ByteLM.from_pretrained(folder).score(plain).mass
