from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tokxfer as tx
from tests.tiny import Tiny
from tests.workflows.transplants import json_of, same_bits, tensors_of

IDENTITIES = [
    ("llama", {"tokenizer": "bytebpe"}),
    ("llama", {"tokenizer": "spbpe", "tied": False, "rows": 448, "dtype": "bfloat16"}),
    ("llama", {"tokenizer": "unigram", "tokens": 200, "eos": [2, 1]}),
    ("mistral", {"tokenizer": "wordpiece", "tokens": 200, "tied": False}),
    ("gpt2", {"tokenizer": "bytebpe", "rows": 448}),
    ("phi", {"tokenizer": "chat", "tied": False, "rows": 448}),
    ("gpt_neox", {"tied": False, "shard": "20KB"}),
    ("qwen2", {"dtype": "float16"}),
    ("gemma3", {"tokenizer": "spbpe"}),
]


@pytest.mark.parametrize(("kind", "options"), IDENTITIES, ids=lambda value: str(value))
def test_a_model_given_its_own_tokenizer_does_not_change_a_bit(
    tiny: Tiny, kind: str, options: dict
) -> None:
    base, out = tiny.model(kind, **options), tiny.fresh()
    report = tx.transplant(base, base, out)
    before, after = tensors_of(base), tensors_of(out)
    assert before.keys() == after.keys()
    assert [name for name in before if not same_bits(before[name], after[name])] == []
    assert report.rows_before == report.rows_after
