"""How likely continuations are, to the byte: what evaluation harnesses ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tokxfer.bytelevel import ByteLM, Score
from tokxfer.bytelevel.asking import together
from tokxfer.workflows.chat import place

SIZES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
DEFAULT_SIZE = 256


def continuations(
    lm: ByteLM,
    pairs: Sequence[tuple[str, str]],
    *,
    epsilon: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> list[tuple[float, bool]]:
    """Log-probability of each continuation behind its context, and whether it is the likeliest.

    Both are one text: where the tokens of the context end makes no difference.

    Args:
        lm: The model.
        pairs: Context and continuation; behind an empty context the continuation begins a text.
            Of a `ChatPrompt` the special tokens are ids that the text stands behind: see `place`.
        epsilon: See `ByteLM.score`.
        progress: Hears of every so many pairs that are done.

    Returns:
        In nats; and whether each byte of the continuation is the likeliest outcome at its place.
    """
    placed = [place(lm, context, continuation) for context, continuation in pairs]
    alike: dict[tuple[int, ...] | None, list[int]] = {}
    for at, one in enumerate(placed):
        alike.setdefault(one.context, []).append(at)
    found: dict[int, tuple[float, bool]] = {}
    for ids, there in alike.items():
        for group in together([len(placed[at].data) for at in there]):
            chosen = [there[one] for one in group]
            data = [placed[at].data for at in chosen]
            scores = lm.score(data, ids, epsilon=epsilon, laws=True)
            for at, score in zip(chosen, scores, strict=True):
                found[at] = behind(score, placed[at].start)
            if progress is not None:
                progress(len(group))
    return [found[at] for at in range(len(pairs))]


def behind(score: Score, start: int) -> tuple[float, bool]:
    """Log-probability of a text's bytes from one on, and whether all of them are the likeliest."""
    assert score.laws is not None
    likeliest = score.laws[start : len(score.data)].argmax(dim=-1)
    chosen = torch.tensor(list(score.data[start:]), dtype=torch.long)
    return float(score.nats[start:].sum()), torch.equal(likeliest, chosen)


def whole_texts(
    lm: ByteLM,
    texts: Sequence[str],
    *,
    epsilon: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> list[float]:
    """Log-probability of each text, in nats; one longer than the model is read in windows."""
    found = []
    for text in texts:
        found.append(lm.score(text, epsilon=epsilon).total)
        if progress is not None:
            progress(1)
    return found


def until(
    lm: ByteLM,
    prompt: str,
    wishes: Mapping[str, Any],
    *,
    bytes_per_token: int = 1,
    epsilon: float = 0.0,
    seed: int = 0,
) -> str:
    """Let a prompt go on, byte by byte, as a harness wishes.

    Args:
        lm: The model.
        prompt: What was written so far; of a `ChatPrompt`, the special tokens are ids.
        wishes: `until`, one or several strings that end it; `max_gen_toks`, how long it gets
            (256); `do_sample`, `temperature`, `top_k`, `top_p` and `min_p`, of the law of bytes.
            Without sampling or temperature every byte is the likeliest. Others are ignored.
        bytes_per_token: Bytes that one of `max_gen_toks` stands for.
        epsilon: See `ByteLM.generate`.
        seed: Of what is drawn.

    Raises:
        UsageError: A wish is out of range.
    """
    ends = wishes.get("until") or []
    size = next((wishes[name] for name in SIZES if wishes.get(name) is not None), DEFAULT_SIZE)
    temperature = float(wishes.get("temperature") or 0.0)
    if wishes.get("do_sample") is True and "temperature" not in wishes:
        temperature = 1.0
    if wishes.get("do_sample") is False:
        temperature = 0.0
    placed = place(lm, prompt)
    return lm.generate(
        placed.data,
        placed.context,
        max_new_bytes=int(size) * bytes_per_token,
        temperature=temperature,
        top_k=wishes.get("top_k") or None,
        top_p=wishes.get("top_p") or None,
        min_p=wishes.get("min_p") or None,
        stop=[end for end in ([ends] if isinstance(ends, str) else ends) if end],
        by="bytes",
        epsilon=epsilon,
        seed=seed,
    ).text
