"""`evaluate`: bits per byte and perplexity of language models on text."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokxfer.checkpoints import (
    ModelFolder,
    begin_token,
    load_model,
    load_tokenizer,
    longest_window,
    parse_size,
    pick_device,
    pick_dtype,
)
from tokxfer.errors import TokxferError, UsageError
from tokxfer.sparse.memory import working_memory
from tokxfer.workflows.encoding import Codec, encode_documents
from tokxfer.workflows.evaluation import Evaluation, EvaluationReport, Ratio
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.scoring import (
    NO_LENGTH,
    Plan,
    cut,
    embedding_rows,
    score_windows,
)
from tokxfer.workflows.text import read_documents

__all__ = ["Evaluation", "EvaluationReport", "Ratio", "evaluate", "evaluate_model"]


def evaluate(
    models: str | Path | Sequence[str | Path],
    *,
    text: str | Path | Sequence[str | Path],
    window: int | None = None,
    against: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    memory_budget: int | str | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool = False,
    progress: bool = False,
) -> EvaluationReport:
    """Measure how well models predict text, in units that do not depend on their tokenizers.

    Args:
        models: One or more model folders or hub names.
        text: One or more files: plain text is one document, JSON lines hold one in each `text`.
        window: Tokens of a window; None takes the length each model was made for.
        against: The model whose bits per byte the ratios refer to; it may be one of `models`.
        device: "auto", "cpu", "cuda:0" or "mps".
        dtype: "float32", "float16" or "bfloat16"; "auto" is float32 on a CPU, where half precision
            is slow and no more exact, and the model's own elsewhere.
        memory_budget: Working memory for a batch, in bytes or as "2GB"; None or "auto" takes half
            of what is free.
        batch_size: Most windows in a batch; None lets memory decide.
        limit: Read only so many documents of each file.
        revision: Branch, tag or commit, for hub names.
        trust_remote_code: Whether Python code that comes with a model may run.
        offline: Never ask the hub.
        progress: Show bars on stderr.

    Returns:
        One evaluation for each model, in their order.

    Raises:
        UsageError: A window, limit or batch size that makes no sense.
        TokxferError: In one sentence, what is wrong with the text or with a model.

    Example:
        >>> import tokxfer as tx
        >>> report = tx.evaluate(["base", "out"], text="held_out.txt", against="base")
        ... # doctest: +SKIP
    """
    models = [models] if isinstance(models, (str, Path)) else list(models)
    files = [text] if isinstance(text, (str, Path)) else list(text)
    if not models or not files:
        raise UsageError("Evaluation takes at least one model and one text.")
    for name, value, least in (
        ("window", window, 2), ("limit", limit, 1), ("batch size", batch_size, 1)
    ):  # fmt: skip
        if value is not None and value < least:
            raise UsageError(f"The {name} must be {least} or more, not {value}.")
    place = pick_device(device)
    chosen = pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None)
    if memory_budget == "auto":
        memory_budget = None
    budget = None if memory_budget is None else parse_size(memory_budget)
    documents = [
        document for file in files for document in read_documents(file, limit, keep_empty=True)
    ]
    names = [str(name) for name in models]
    wanted = list(dict.fromkeys([*([str(against)] if against is not None else []), *names]))
    folders = {
        name: ModelFolder.open(
            name, revision=revision, trust_remote_code=trust_remote_code, offline=offline
        )
        for name in wanted
    }
    found = {}
    for name, folder in folders.items():
        tokenizer = load_tokenizer(folder.path, trust_remote_code=trust_remote_code)
        model = load_model(
            folder.path, dtype=chosen, device=place, trust_remote_code=trust_remote_code
        )
        found[name] = evaluate_model(
            model,
            tokenizer,
            documents,
            name=name,
            window=window,
            memory_budget=budget,
            batch_size=batch_size,
            progress=progress,
        )
        del model
    return EvaluationReport(
        results=tuple(found[name] for name in names),
        against=None if against is None else found[str(against)],
        settings={
            "text": [str(file) for file in files],
            "limit": limit,
            "window": window,
            "device": str(place),
            "dtype": str(chosen).removeprefix("torch.") if chosen else "auto",
            "memory_budget": budget,
            "batch_size": batch_size,
            "revision": revision,
            "versions": {name: version(name) for name in ("tokxfer", "torch", "transformers")},
        },
    )


def evaluate_model(
    model: Any,
    tokenizer: Any,
    documents: Iterable[str],
    *,
    name: str = "model",
    window: int | None = None,
    memory_budget: int | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Measure how well a loaded model predicts documents.

    Every document starts afresh after the model's bos id, else its eos id; no other special token
    is added, and the end of a document is not predicted. The begin token and the text's tokens are
    cut into windows that overlap by half: the first window of a document holds the begin token, a
    later one begins in mid-text with nothing put before it, as the windows of packed training text
    do, and scores only tokens that half a window or more precedes. Each text token is scored once.
    Under a model with neither bos nor eos the first token of a document is coded as one of its
    ids, all equally likely.

    Args:
        model: A transformers causal language model, on any device. Its mode is restored.
        tokenizer: A transformers tokenizer, a `tokenizers.Tokenizer` or a `ByteVocabulary`.
        documents: Texts; empty ones are counted and left out.
        name: What the result calls it.
        window: Tokens of a window; None takes the length the model was made for (2,048 where it
            does not say).
        memory_budget: Bytes a batch may take; None takes half of what is free.
        batch_size: Most windows in a batch; None lets memory decide.
        progress: Show a bar on stderr.

    Returns:
        Costs per document, and the figures that follow.

    Raises:
        TokxferError: There is no text; the tokenizer gives ids that the model has no row for; the
            model gives a text probability zero, or no number.
        UsageError: The window is shorter than two tokens or longer than the model was made for.
    """
    started = time.perf_counter()
    window = choose_window(model, window, name)
    begin = begin_token(model, tokenizer)
    rows = embedding_rows(model)
    texts = encode_documents(Codec.of(tokenizer), documents, begin, len(rows), name)
    plan = Plan.of(model, working_memory(rows.device, memory_budget), batch_size)
    windows = [part for at, ids in enumerate(texts.sequences) for part in cut(at, len(ids), window)]
    training = model.training
    model.eval()
    try:
        total = sum(part.stop - part.scored for part in windows)
        with progress_bar(total, Path(name).name, "tok", progress) as bar:
            nats = score_windows(model, texts.sequences, windows, plan, bar.update)
    finally:
        model.train(training)
    if begin is None:
        nats += (texts.tokens > 0) * math.log(len(rows))
    check_finite(nats, name)
    return Evaluation(
        model=name,
        nats=nats,
        document_tokens=texts.tokens,
        document_bytes=texts.bytes,
        lossy_documents=texts.lossy_documents,
        lossy_bytes=texts.lossy_bytes,
        empty_documents=texts.empty_documents,
        window=window,
        begin=begin,
        seconds=time.perf_counter() - started,
    )


def choose_window(model: Any, window: int | None, name: str) -> int:
    """The number of tokens in a window, checked against the model's length."""
    longest = longest_window(model.config)
    if window is None:
        return longest or NO_LENGTH
    if window < 2:
        raise UsageError(f"A window must hold 2 tokens or more, not {window}.")
    if longest is not None and window > longest:
        raise UsageError(
            f"A window of {window:,} tokens is longer than the {longest:,} that {name} was made "
            "for.",
            f"Give --window {longest} or less, or leave it out.",
        )
    return window


def check_finite(nats: NDArray[np.float64], name: str) -> None:
    """Refuse costs that are infinite or no number."""
    bad = np.flatnonzero(~np.isfinite(nats))
    if len(bad):
        raise TokxferError(
            f"{name} gives {len(bad):,} of {len(nats):,} documents probability zero or no number.",
            "Try --dtype float32; if that does not help, its weights are damaged.",
        )
