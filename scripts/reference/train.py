"""Training one reference model: Muon for the matrices inside, AdamW for the rest; resumable."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional
from tqdm import trange
from transformers import LlamaConfig, LlamaForCausalLM

from .recipes import Recipe

CHECKPOINT_EVERY = 100
WARMUP_STEPS = 50


def keep_memory_mapped() -> None:
    """Ask glibc not to give freed blocks back: page faults halve the speed on a CPU otherwise."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    libc.mallopt(-4, 0)  # M_MMAP_MAX
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def build(recipe: Recipe, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A freshly initialized model of the recipe's shape; head and embedding std width^-0.5 / 4."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=recipe.width,
        intermediate_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=recipe.tied,
        bos_token_id=tokenizer.token_to_id(recipe.roles["bos"]),
        eos_token_id=tokenizer.token_to_id(recipe.roles["eos"]),
        pad_token_id=tokenizer.token_to_id(recipe.roles["pad"]) if "pad" in recipe.roles else None,
    )
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(config)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized by five Newton-Schulz steps in float32, one batch per shape.

    torch's own Muon works in bfloat16, which CPUs without matrix units emulate at a tenth of the
    speed. Source: Jordan et al., "Muon: an optimizer for hidden layers", 2024.
    """

    def __init__(self, params: list[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for weight in group["params"]:
                shapes.setdefault(weight.shape, []).append(weight)
            for weights in shapes.values():
                updates = []
                for weight in weights:
                    state = self.state[weight]
                    if not state:
                        state["momentum"] = torch.zeros_like(weight)
                    state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                    updates.append(weight.grad.lerp(state["momentum"], group["momentum"]))
                directions = orthogonalize(torch.stack(updates))
                scale = max(1.0, weights[0].shape[0] / weights[0].shape[1]) ** 0.5
                for weight, direction in zip(weights, directions, strict=True):
                    weight.add_(direction, alpha=-group["lr"] * scale)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest semi-orthogonal matrices to `matrices` [batch, rows, columns], roughly."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


def steps(recipe: Recipe) -> int:
    """Steps that the recipe's tokens make; the last window wants one token more."""
    return recipe.tokens // (recipe.batch * recipe.context) - 1


def train(
    recipe: Recipe, ids: np.ndarray, tokenizer: Tokenizer, work: Path, threads: int | None = None
) -> Path:
    """Train to the recipe's token count; returns the path of the finished state dict."""
    done = work / "final.pt"
    if done.exists():
        return done
    keep_memory_mapped()
    torch.set_num_threads(threads or os.cpu_count() or 1)
    model = build(recipe, tokenizer)
    inside = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n]
    chosen = {id(p) for p in inside}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimizers = [
        Muon(inside, lr=recipe.muon_rate),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    total_steps = steps(recipe)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda at: learning_rate(at, total_steps))
        for o in optimizers
    ]
    checkpoint = work / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        model.load_state_dict(state["model"])
        for part, saved in zip([*optimizers, *schedules], state["parts"], strict=True):
            part.load_state_dict(saved)
    order = np.random.default_rng(recipe.seed).permutation(total_steps * recipe.batch)
    name = f"{recipe.name}: training"
    bar = trange(first, total_steps, initial=first, total=total_steps, desc=name)
    average = 0.0
    for step in bar:
        rows = order[step * recipe.batch : (step + 1) * recipe.batch]
        window = np.stack([ids[r * recipe.context : (r + 1) * recipe.context + 1] for r in rows])
        tokens = torch.from_numpy(window.astype(np.int64))
        total = 0.0
        for part in tokens.split(max(1, 2048 // recipe.context)):  # small logits stay in cache
            hidden = model.model(part[:, :-1], use_cache=False)[0]
            logits = model.lm_head(hidden)
            loss = functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())
            (loss * len(part) / len(tokens)).backward()
            total += loss.item() * len(part) / len(tokens)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        average = total if step == first else 0.95 * average + 0.05 * total
        bar.set_postfix(loss=f"{average:.3f}")
        if (step + 1) % CHECKPOINT_EVERY == 0:
            parts = [part.state_dict() for part in [*optimizers, *schedules]]
            save({"step": step + 1, "model": model.state_dict(), "parts": parts}, checkpoint)
    save(model.state_dict(), done)
    return done


def learning_rate(step: int, steps: int) -> float:
    """Warm up, hold, then fall linearly to nothing over the last half."""
    return min(1.0, (step + 1) / WARMUP_STEPS, max(0.0, 2.0 * (steps - step) / steps))


def save(state: object, path: Path) -> None:
    """Write beside, then rename, so that an interruption leaves the earlier checkpoint whole."""
    beside = path.with_suffix(".partial")
    torch.save(state, beside)
    beside.replace(path)
