"""Continuations are scored to the byte, wherever tokens end."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer

import tokxfer as tx
from tests.tiny import Tiny, write_tokenizer_folder
from tokxfer.workflows.chat import seam
from tokxfer.workflows.likelihood import continuations, until, whole_texts


@pytest.fixture(scope="module", params=["bytebpe", "spbpe"])
def lm(request: pytest.FixtureRequest, tiny: Tiny) -> tx.ByteLM:
    return tx.ByteLM.from_pretrained(tiny.model("llama", tokenizer=request.param, seed=3))


def test_a_cut_anywhere_gives_the_rest_of_the_text(lm: tx.ByteLM) -> None:
    text = "the brown dog"
    score = lm.score(text)
    pairs = [(text[:at], text[at:]) for at in range(len(text))]
    for (context, _), (nats, _) in zip(pairs, continuations(lm, pairs), strict=True):
        start = len(lm.spell(context))
        assert nats == pytest.approx(float(score.nats[start:].sum()), abs=1e-4)


@pytest.fixture(scope="module", params=["bytebpe", "spbpe", "unigram"])
def with_table(request: pytest.FixtureRequest, tiny: Tiny) -> tx.ByteLM:
    """A model whose vocabulary has added tokens, of which `<tab` begins two."""
    folder = write_tokenizer_folder(tiny.fresh(), request.param)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in ("<table>", "<tab>")])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tx.ByteLM.from_pretrained(tiny.model("gpt2", tokenizer=folder, seed=3))


@pytest.mark.parametrize("text", ["the <table> dog", "the<table>dog"])
def test_a_context_may_end_inside_an_added_token(with_table: tx.ByteLM, text: str) -> None:
    start = text.index("<")
    cuts = range(start, start + len("<table>") + 1)
    whole = with_table.score(text)
    for cut in cuts:
        pairs = [("", text[:cut]), (text[:cut], text[cut:])]
        (before, _), (rest, _) = continuations(with_table, pairs)
        assert before + rest == pytest.approx(whole.total, abs=1e-3)
        assert whole.data.index(b"<") + cut - start == len(with_table.spell(text[:cut]))


@pytest.mark.parametrize("text", ["<table>dog", "<table> dog"])
def test_a_context_may_end_inside_an_added_token_that_begins_a_text(
    with_table: tx.ByteLM, text: str
) -> None:
    """Encoding puts no space before the token, but one before its beginning."""
    score = with_table.score(text)
    assert score.data.startswith(b"<table>")
    assert float(score.nats[len("<tab")]) < -0.01, "it might have been the other one"
    pairs = [(text[:cut], text[cut:]) for cut in range(len("<table>") + 1)]
    found = continuations(with_table, pairs)
    for cut, (nats, _) in enumerate(found):
        assert nats == pytest.approx(float(score.nats[cut:].sum()), abs=1e-4)
    assert found[0][0] < found[1][0] - 0.1


def test_what_a_normalizer_joins_goes_on_from_the_context() -> None:
    assert seam(b"caf", b"caf\xc3\xa9") == 3
    assert seam(b"cafe", b"caf\xc3\xa9") == 3
    assert seam(b" <ta", b" <table>") == 4
    assert seam(b" <ta", b"<table>") == 3
    assert seam(b"", b" a") == 0


def test_the_answers_keep_the_order_of_the_questions(lm: tx.ByteLM) -> None:
    pairs = [("a", " b"), ("the quick brown fox jumps over", " it"), ("", "x"), ("a", " b" * 60)]
    done: list[int] = []
    found = continuations(lm, pairs, progress=done.append)
    assert sum(done) == len(pairs)
    for pair, (nats, _) in zip(pairs, found, strict=True):
        assert nats == pytest.approx(continuations(lm, [pair])[0][0], abs=1e-4)


def test_greedy_is_what_the_likeliest_bytes_are(lm: tx.ByteLM) -> None:
    data = b""
    state = lm.start()
    state.push(lm.spell("the"))
    while len(data) < 3:
        data += state.law.top(1)[0][0]
        state.push(data[-1:])
    if data.isascii():
        (_, greedy), (_, other) = continuations(lm, [("the", data.decode()), ("the", "\x01")])
        assert greedy
        assert not other


def test_an_empty_continuation_is_certain(lm: tx.ByteLM) -> None:
    assert continuations(lm, [("the", "")]) == [(0.0, True)]


def test_whole_texts_are_scored_from_their_beginning(lm: tx.ByteLM) -> None:
    texts = ["the dog", "a", "the dog " * 40]  # the last is longer than the model
    found = whole_texts(lm, texts)
    assert found == [lm.score(text).total for text in texts]


def test_a_text_goes_on_until_it_should_not(lm: tx.ByteLM) -> None:
    free = until(lm, "the", {"max_gen_toks": 12})
    assert free == lm.generate("the", max_new_bytes=12, temperature=0.0, by="bytes").text
    stopped = until(lm, "the", {"until": [free[3], ""], "max_gen_toks": 12})
    assert stopped == free[: free.index(free[3])]
    assert until(lm, "the", {"until": free[3], "max_gen_toks": 12}) == stopped
    assert free.startswith(until(lm, "the", {"max_new_tokens": 2}))
    assert until(lm, "the", {"max_gen_toks": 3}, bytes_per_token=4) == free


def test_sampling_is_asked_for_and_seeded(lm: tx.ByteLM) -> None:
    wishes = {"do_sample": True, "temperature": 1.5, "top_k": 0, "max_gen_toks": 8}
    drawn = {until(lm, "the", wishes, seed=seed) for seed in (1, 2, 3, 1)}
    assert 1 < len(drawn) <= 3
    sampled = until(lm, "the", {"do_sample": True, "max_gen_toks": 8}, seed=5)
    expected = lm.generate("the", max_new_bytes=8, by="bytes", seed=5)
    assert sampled == expected.text
    greedy = until(lm, "the", {"do_sample": False, "temperature": 2.0, "max_gen_toks": 8})
    assert greedy == until(lm, "the", {"max_gen_toks": 8})


def test_wishes_out_of_range_are_refused(lm: tx.ByteLM) -> None:
    with pytest.raises(tx.TokxferError, match="At least one byte"):
        until(lm, "the", {"max_gen_toks": 0})
