"""Every node of a tree is answered as its own sequence is when it is read alone."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
import torch

from tests.tiny import build_config, build_model
from tokxfer.bytelevel import treemodel
from tokxfer.bytelevel.asking import read
from tokxfer.bytelevel.treemodel import ROOT, AttentionTree, RowTree, TreeModel, takes_trees

ROWS, IDS = 64, 60  # the model's head is padded

TREES = [
    "llama", "qwen2", "gpt2", "gpt_neox", "phi", "gemma", "mistral", "mistral_window",
    "qwen2_windows", "gemma2", "gemma3", "gpt_oss",
]  # fmt: skip
ROWS_ONLY = ["bloom", "gpt_neo", "mamba", "recurrent_gemma"]


def random_model(kind: str) -> Any:
    """A random model; those with a window reach back four tokens."""
    import transformers

    plain = {"vocab_size": ROWS, "initializer_range": 0.3}
    llama_like = build_config("gemma", rows=ROWS, hidden=16, layers=3, tied=True, length=64)
    shared = {
        name: getattr(llama_like, name)
        for name in (
            "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim",
            "num_attention_heads", "num_key_value_heads", "max_position_embeddings",
            "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id",
        )
    }  # fmt: skip
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    windowed = {**shared, "sliding_window": 4}
    configs: dict[str, Any] = {
        "mistral_window": lambda: transformers.MistralConfig(**windowed),
        "qwen2_windows": lambda: transformers.Qwen2Config(
            **{**windowed, "use_sliding_window": True, "max_window_layers": 1}
        ),
        "gemma2": lambda: transformers.Gemma2Config(**windowed, layer_types=kinds),
        "gemma3": lambda: transformers.Gemma3TextConfig(**windowed, layer_types=kinds),
        "gpt_oss": lambda: transformers.GptOssConfig(
            **windowed, layer_types=kinds, num_local_experts=2, num_experts_per_tok=1
        ),
        "bloom": lambda: transformers.BloomConfig(**plain, hidden_size=16, n_layer=2, n_head=2),
        "gpt_neo": lambda: transformers.GPTNeoConfig(
            **plain, hidden_size=16, num_layers=2, num_heads=2, window_size=4,
            attention_types=[[["global", "local"], 1]],
        ),
        "mamba": lambda: transformers.MambaConfig(
            **plain, hidden_size=16, num_hidden_layers=2, state_size=4
        ),
        "recurrent_gemma": lambda: transformers.RecurrentGemmaConfig(
            vocab_size=ROWS, hidden_size=16, intermediate_size=32, num_hidden_layers=3,
            num_attention_heads=2, attention_window_size=4, lru_width=16,
        ),
    }  # fmt: skip
    if kind not in configs:
        return build_model(kind, rows=ROWS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(configs[kind]()).eval()
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return model


def rows_of(parents: list[int], tokens: list[int], rows: dict[int, list[int]]) -> list[list[int]]:
    """The sequences of new nodes, which are noted."""
    first = len(rows) - 1
    for at, (parent, token) in enumerate(zip(parents, tokens, strict=True)):
        rows[first + at] = [*rows[parent], token]
    return [rows[first + at] for at in range(len(tokens))]


def alone(model: Any, row: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1, :IDS]


def grow(model: Any, tree: TreeModel, rounds: int, *, seed: int = 0) -> int:
    """Let a tree grow at random, forgetting as it goes; how deep it got."""
    draw = random.Random(seed)
    rows: dict[int, list[int]] = {ROOT: []}
    live = [ROOT]
    for _ in range(rounds):
        size = draw.choice([1, 1, 2, 4])
        parents = [
            draw.choice([*live[-3:], *range(tree.size, tree.size + at)]) for at in range(size)
        ]
        tokens = [draw.randrange(IDS) for _ in parents]
        some = draw.choice([None, sorted(draw.sample(range(size), draw.randint(1, size)))])
        new = rows_of(parents, tokens, rows)
        numbers = range(tree.size, tree.size + size)
        found = tree.extend(parents, tokens, asked=some)
        expected = torch.stack([alone(model, new[at]) for at in some or range(size)])
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        older = [node for node in (*live, *numbers[:-1]) if node != ROOT]
        live = [*sorted(draw.sample(older[-6:], min(2, len(older)))), numbers[-1]]
        tree.keep(live)
    return max(map(len, rows.values()))


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_a_tree_answers_as_rows_do(
    kind: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treemodel, "SLACK", 3)
    model = random_model(kind)
    if attention == "sdpa" and not model._supports_sdpa:
        pytest.skip("not made for it")
    model.set_attn_implementation(attention)
    assert takes_trees(model)
    tree = AttentionTree(model, IDS)
    assert grow(model, tree, rounds=16) >= 8
    assert tree._cached < tree.size - 3


@pytest.mark.parametrize("kind", ROWS_ONLY)
@torch.no_grad()
def test_models_that_no_mask_serves_read_rows(kind: str) -> None:
    model = random_model(kind)
    assert not takes_trees(model)
    grow(model, RowTree(model, IDS), rounds=8)


@torch.no_grad()
def test_all_nodes_are_answered_in_order_by_default() -> None:
    model = random_model("llama")
    parents, tokens = [ROOT, 0, 0, ROOT, 2], [5, 6, 7, 8, 9]
    rows = [[5], [5, 6], [5, 7], [8], [5, 7, 9]]
    expected = torch.stack([alone(model, row) for row in rows])
    for make in (AttentionTree, RowTree):
        found = make(model, IDS).extend(parents, tokens)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral_window"])
@torch.no_grad()
def test_a_chain_needs_no_mask(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, masks = random_model(kind), list[int]()
    masked = AttentionTree._masks

    def noted(tree: AttentionTree, nodes: Any) -> Any:
        masks.append(len(nodes))
        return masked(tree, nodes)

    monkeypatch.setattr(AttentionTree, "_masks", noted)
    tree, tokens = AttentionTree(model, IDS), list(range(12))
    found = [
        tree.extend(range(-1, 4), tokens[:5]),
        tree.extend([4], tokens[5:6]),
        tree.extend(range(5, 11), tokens[6:]),
    ]
    assert len(masks) == (3 if kind == "mistral_window" else 0)
    expected = torch.stack([alone(model, tokens[: at + 1]) for at in range(12)])
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-3, atol=1e-4)
    tree.extend([3], [7])  # what was a chain is one no more
    told = tree.extend([12, 12], [1, 2])
    assert len(masks) == (5 if kind == "mistral_window" else 2)
    expected = torch.stack([alone(model, [*tokens[:4], 7, last]) for last in (1, 2)])
    torch.testing.assert_close(told, expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_what_is_kept_can_be_extended_and_the_rest_leaves_the_cache() -> None:
    model = random_model("llama")
    tree = AttentionTree(model, IDS)
    tree.extend([ROOT, *[0] * 200], [1, *[token % IDS for token in range(200)]])
    tree.keep([7, 150])
    assert tree._cache.get_seq_length() == 3
    found = tree.extend([7, 150, 7], [3, 4, 5])
    expected = torch.stack([alone(model, row) for row in ([1, 6, 3], [1, 149 % IDS, 4], [1, 6, 5])])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(KeyError):
        tree.extend([9], [1])


class Bare(torch.nn.Module):
    """A model whose forward pass always answers everywhere, as in code that comes with models."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner, self.config = model, model.config
        self.dtype, self.device = model.dtype, model.device

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: bool = False,
    ) -> Any:
        return self.inner(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )


@torch.no_grad()
def test_models_that_always_answer_everywhere_do_too() -> None:
    model = random_model("llama")
    assert takes_trees(Bare(model))
    for tree in (AttentionTree(Bare(model), IDS), RowTree(Bare(model), IDS)):
        grow(model, tree, rounds=6)


@torch.no_grad()
def test_tokens_that_never_come_do_not_hide_a_tree() -> None:
    model = build_model("phi", rows=ROWS)
    model.lm_head.bias[3] = -torch.inf
    assert takes_trees(model)


@torch.no_grad()
def test_reading_a_long_context_takes_memory_in_proportion_to_it() -> None:
    class Silent:
        """Costs nothing, so that what the tree itself keeps can be seen."""

        device, dtype = torch.device("cpu"), torch.float32
        config = build_config("llama", rows=4, hidden=4, layers=1, tied=True, length=64)

        def forward(self, input_ids: Any, logits_to_keep: Any = None, **rest: Any) -> Any:
            logits = torch.zeros(1, len(logits_to_keep), 4)
            return type("Output", (), {"logits": logits})

        __call__ = forward

    def peak(length: int) -> int:
        tracemalloc.start()
        read(AttentionTree(Silent(), 4), [1] * length, 4)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(16_000) < 6 * peak(4_000)
    assert peak(16_000) < 16e6
