"""Where texts begin: what their tokens spell, and the space that encoding puts before them."""

from __future__ import annotations

import math
import random

import pytest
from tokenizers import AddedToken

from tests.bytelevel.drawing import drawn
from tests.bytelevel.enumeration import RandomModel
from tests.bytelevel.functions import FunctionTree
from tests.bytelevel.rules.test_prefixed import PREFIXING
from tests.families import FAMILIES
from tokxfer.bytelevel import ByteLM
from tokxfer.bytelevel.context import Beginning
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary

KINDS = PREFIXING | {k: FAMILIES[k] for k in ("byte_level", "byte_level_groups", "gemma")}
TEXTS = [
    "",
    "a",
    " ",
    " a",
    "  a",
    "\n",
    "\na",
    "\u00a0a",
    "é",
    "▁a",
    "a▁b",
    "1 ",
    "中",
    "<tool> a",
]


def model_of(kind: str, law: str = "canonical", *, added: bool = False) -> ByteLM:
    tokenizer = KINDS[kind]()
    if added:
        tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    vocabulary = ByteVocabulary.from_tokenizer(tokenizer)
    model = RandomModel(vocabulary.size)
    return ByteLM(None, vocabulary, stops=[1], law=law, trees=lambda: FunctionTree(model.nats))


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_spelled_as_their_tokens_are(kind: str, added: bool) -> None:
    lm, source = model_of(kind, added=added), random.Random(0)
    for text in [*TEXTS, *(drawn(source) for _ in range(200))]:
        tokens = lm.canonical.tokens
        assert lm.spell(text) == b"".join(tokens[t] for t in lm.vocabulary.encode(text)), text


@pytest.mark.parametrize("law", ["canonical", "all"])
@pytest.mark.parametrize("kind", PREFIXING)
def test_a_text_begins_with_the_space_for_certain(kind: str, law: str) -> None:
    lm = model_of(kind, law)
    for before in (None, Beginning()):
        found = lm.start(before).law
        space = math.exp(float(found.nats[ord(" ")]))
        assert space + math.exp(found.stop) == pytest.approx(1)
        first = math.exp(float(lm.score("aaa", before).nats[0]))
        assert first == pytest.approx(space)


@pytest.mark.parametrize("kind", PREFIXING)
def test_bytes_that_begin_no_text_are_refused_but_may_go_on_from_a_context(kind: str) -> None:
    lm = model_of(kind)
    for ask in (lm.score, lm.heal, lm.next_byte, lm.generate):
        with pytest.raises(UsageError, match="puts a space before every text"):
            ask(b"a", Beginning([5]))
    behind = lm.score(b"a", [5])
    assert float(behind.nats[0]) > -100
    assert lm.score(b" a", Beginning([5])).total > -100
