"""What is given as a text: its spelling, and what is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import Tiny
from tokxfer.bytelevel import Beginning, ByteLM
from tokxfer.bytelevel.filling import FillTemplate
from tokxfer.errors import UsageError

MODELS = Path(__file__).resolve().parents[2] / "models"
TEMPLATE = FillTemplate(5, 6, 7)


@pytest.fixture(scope="module")
def lm(tiny: Tiny) -> ByteLM:
    return ByteLM.from_pretrained(tiny.model("llama", tokenizer="spbpe", seed=3))


@pytest.mark.parametrize(
    "ask",
    [
        lambda lm: lm.score(123),
        lambda lm: lm.score([1, 2]),
        lambda lm: lm.score(None),
        lambda lm: lm.next_byte(123),
        lambda lm: lm.heal(["the"]),
        lambda lm: lm.generate([3]),
        lambda lm: lm.generate("the", stop=[5]),
        lambda lm: lm.generate("the", stop=5),
        lambda lm: lm.bits_per_byte(5),
        lambda lm: lm.bits_per_byte([5]),
        lambda lm: lm.fill("the", 5, template=TEMPLATE),
    ],
)
def test_what_is_no_text_is_refused_in_one_sentence(
    lm: ByteLM, ask: Callable[[Any], object]
) -> None:
    with pytest.raises(UsageError, match="A text is a str or bytes, not"):
        ask(lm)


def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(lm: ByteLM) -> None:
    for ask in (
        lambda: lm.score("a\ud800"),
        lambda: lm.generate("a", stop="\ud800"),
        lambda: lm.fill("a", "\ud800", template=TEMPLATE),
        lambda: lm.bits_per_byte("\ud800"),
    ):
        with pytest.raises(UsageError, match="half of a surrogate pair"):
            ask()


def test_a_state_goes_on_by_bytes_alone(lm: ByteLM) -> None:
    with pytest.raises(UsageError, match="by bytes, not by str"):
        lm.start().push(" the")  # type: ignore[arg-type]


def test_bits_per_byte_takes_bytes(lm: ByteLM) -> None:
    assert lm.bits_per_byte(b" the dog") * 8 == pytest.approx(lm.bits_per_byte("the dog") * 7)


def test_an_empty_prompt_behind_nothing_is_not_blamed_on_the_model(lm: ByteLM) -> None:
    assert lm.begin is not None
    for ask in (lm.next_byte, lm.generate):
        with pytest.raises(UsageError, match="as is the context"):
            ask("", Beginning())


def test_an_empty_prompt_of_a_model_without_a_begin_token_says_so(tiny: Tiny) -> None:
    none = ByteLM.from_pretrained(tiny.model("llama", tokenizer="chat", seed=3))
    none.begin = None
    for ask in (none.next_byte, none.generate):
        with pytest.raises(UsageError, match="no token that begins texts"):
            ask("")


@pytest.mark.parametrize("name", ["english-spbpe", "english-unigram"])
@pytest.mark.parametrize("text", ["a▁<s> b", "▁<s>", "</s>▁<unk>", "<s> b"])
def test_text_that_names_special_tokens_is_text_beside_the_mark_of_spaces_too(
    name: str, text: str
) -> None:
    lm = ByteLM.from_pretrained(MODELS / name)
    spelled = lm.spell(text)
    assert spelled == b" " + text.replace("▁", " ").encode()
    assert lm.score(text).total == lm.score(spelled).total > -1e9
    named = lm.vocabulary.encode("<s>")
    assert named[-1] == lm.vocabulary.roles["bos"]  # a context still reads the name as the token
