"""A text and its end have one canonical sequence: what the tokenizer itself makes of the text.

So their joint probability is the product of the model's probabilities of those tokens, whatever the
engine does on the way there. The tokenizers library is asked; no rule of this package is.
"""

from __future__ import annotations

import math

import pytest
import torch

from tests.bytelevel.enumeration import RandomModel
from tests.families import FAMILIES
from tokxfer.bytelevel.frontier import Frontier
from tokxfer.bytelevel.mass import byte_masses
from tokxfer.bytelevel.rules import rule_of
from tokxfer.bytelevel.tokens import TokenShares
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.vocabulary import ByteVocabulary

TEXTS = [
    "the dog", " the forest was dark.", "12345 - 678", "return [row]\n\n    if x == 10:",
    "grandmother,  she", "Once upon", "x\n", "  ", "a",
]  # fmt: skip


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_text_and_its_end_are_as_likely_as_the_tokenizers_own_tokens(family: str) -> None:
    vocabulary = ByteVocabulary.from_tokenizer(FAMILIES[family]())
    rule = rule_of(vocabulary)
    stop = vocabulary.roles.get("eos", vocabulary.roles.get("sep", 0))
    tokens, model = TokenShares(rule, [stop]), RandomModel(vocabulary.size, spread=2.0)
    found = 0
    for text in TEXTS:
        ids = vocabulary.encode(text)
        spelled = [rule.tokens[token] for token in ids]
        if not all(spelled):
            continue  # an unknown token, which has no bytes
        tree = CoverTree.of(b"".join(spelled), Frontier(rule, tokens.whole))
        nats = torch.stack([model.nats(node.path()) for node in tree.nodes])
        masses = byte_masses(tree, tokens, nats)
        row, wanted = list[int](), 0.0
        for token in [*ids, stop]:
            wanted += float(model.nats(row).double().log_softmax(0)[token])
            row.append(token)
        assert float(masses.stopped[-1]) == pytest.approx(wanted, abs=1e-9), text
        assert math.isfinite(wanted)
        found += 1
    assert found >= 5
