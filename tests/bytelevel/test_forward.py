"""One pass over a tree answers as a pass over every sequence in it."""

from __future__ import annotations

import pytest
import torch
from tokxfer.bytelevel.forward import tree_nats

from tests.bytelevel.test_mass import path
from tests.tiny import Tiny
from tokxfer.bytelevel.order import ByteOrder
from tokxfer.bytelevel.rules.bpe import bpe_rule
from tokxfer.bytelevel.tree import CoverTree
from tokxfer.checkpoints import load_model
from tokxfer.errors import UsageError
from tokxfer.vocabulary import read_vocabulary

TEXT = b"It's a  dog,\n\nisn't it? 1234 caf\xc3\xa9"


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gpt_neox", "phi", "gemma"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_every_node_is_answered_as_its_own_sequence(tiny: Tiny, kind: str, attention: str) -> None:
    folder = tiny.model(kind)
    vocabulary = read_vocabulary(folder)
    model = load_model(folder, dtype=torch.float32)
    model.set_attn_implementation(attention)
    rule = bpe_rule(vocabulary)
    tree = CoverTree.of(TEXT, rule, ByteOrder(rule.tokens))
    context = [3, 70, 12]
    with torch.no_grad():
        found = tree_nats(model, context, tree, vocabulary.size)
        assert found.shape == (len(tree), vocabulary.size)
        for node in range(len(tree)):
            ids = torch.tensor([[*context, *path(tree, node)]])
            alone = model(input_ids=ids).logits[0, -1, : vocabulary.size].log_softmax(dim=-1)
            torch.testing.assert_close(found[node], alone, rtol=1e-4, atol=1e-5)


def test_an_empty_context_is_refused(tiny: Tiny) -> None:
    folder = tiny.model("llama")
    rule = bpe_rule(read_vocabulary(folder))
    tree = CoverTree.of(b"a", rule, ByteOrder(rule.tokens))
    with pytest.raises(UsageError, match="nothing for the model to start from"):
        tree_nats(load_model(folder, dtype=torch.float32), [], tree, 400)
