"""Hidden states and heads of models of several architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from tokxfer.errors import UnsupportedError
from tokxfer.workflows.training.bodies import Body, positions

SMALL = {
    "vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "gemma2": {"final_logit_softcapping": 2.0, "sliding_window": 32},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 3.0},
    "phi": {"num_key_value_heads": 2},  # its head has a bias
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
}


def tiny(kind: str) -> Any:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**{**SMALL, **KINDS[kind]})
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(params=sorted(KINDS))
def model(request: pytest.FixtureRequest) -> Any:
    return tiny(request.param)


def logits(body: Body, hidden: torch.Tensor) -> torch.Tensor:
    found = body.head(hidden) * body.scale
    return found if not body.softcap else torch.tanh(found / body.softcap) * body.softcap


def test_hidden_states_and_head_make_the_models_logits(model: Any) -> None:
    body = Body.of(model)
    body.check()
    ids = torch.randint(60, (3, 9))
    with torch.no_grad():
        own = model(input_ids=ids).logits
        found = logits(body, body.hidden(ids, torch.zeros_like(ids)))
    assert torch.allclose(own, found, atol=1e-5)
    assert model(input_ids=ids).logits.shape[-1] == 60  # the head is itself again


def test_a_model_that_does_more_to_its_logits_is_refused() -> None:
    model = tiny("llama")
    forward = model.forward

    def shifted(**told: Any) -> Any:
        found = forward(**told)
        found.logits = found.logits * 1.5
        return found

    model.forward = shifted
    with pytest.raises(UnsupportedError, match="more to its logits"):
        Body.of(model).check()


def test_a_packed_document_sees_itself_only(model: Any) -> None:
    body = Body.of(model)
    if not body.packs:
        assert model.config.model_type == "gemma2"  # its windows are narrower than the row
        return
    rows = [torch.randint(60, (size,)) for size in (4, 7, 3)]
    packed = torch.cat([*rows, torch.tensor([5, 5])])[None]
    document = torch.tensor([[0] * 4 + [1] * 7 + [2] * 3 + [-1] * 2])
    with torch.no_grad():
        together = body.hidden(packed, document)[0, :14]
        alone = torch.cat([body.hidden(row[None], torch.zeros_like(row)[None])[0] for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    body = Body.of(tiny("llama"))
    row, pad = torch.randint(60, (6,)), torch.full((3,), 7)
    ids = torch.cat([pad, row] if side == "left" else [row, pad])[None]
    document = torch.tensor([[-1] * 3 + [0] * 6 if side == "left" else [0] * 6 + [-1] * 3])
    with torch.no_grad():
        alone = body.hidden(row[None], torch.zeros_like(row)[None])[0]
        found = body.hidden(ids, document)[0][document[0] == 0]
    assert torch.allclose(alone, found, atol=1e-5)


def test_gradients_go_through_hidden_states() -> None:
    model = tiny("llama")
    ids = torch.randint(60, (1, 5))
    Body.of(model).hidden(ids, torch.zeros_like(ids)).sum().backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None


def test_positions_begin_anew_with_every_document() -> None:
    document = torch.tensor([[-1, 0, 0, 1, 1, 1], [0, 0, 0, 1, -1, -1]])
    assert positions(document).tolist() == [[0, 0, 1, 0, 1, 2], [0, 1, 2, 0, 0, 0]]
