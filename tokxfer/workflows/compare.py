"""`compare`: several methods side by side on one pair of models and one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import load_model, load_tokenizer, parse_size, pick_device, pick_dtype
from tokxfer.embeddings import REGISTRY, Method, build_method, label
from tokxfer.errors import TokxferError, UsageError
from tokxfer.workflows.align import align_vocabularies
from tokxfer.workflows.comparison import Compared, ComparisonReport, judge, judge_probed
from tokxfer.workflows.corpus import Files
from tokxfer.workflows.encoder import TextEncoder
from tokxfer.workflows.environment import versions
from tokxfer.workflows.evaluate import evaluate_model
from tokxfer.workflows.evaluation import Evaluation
from tokxfer.workflows.helpers import find_helpers
from tokxfer.workflows.probing import Probe, check_probe
from tokxfer.workflows.text import read_documents
from tokxfer.workflows.workbench import Pair, Workbench

__all__ = ["ComparisonReport", "compare"]


def compare(
    base: str | Path,
    donor: str | Path,
    *,
    text: str | Path | Sequence[str | Path],
    methods: Sequence[str | Method] | None = None,
    encoder: str | Path | TextEncoder | None = None,
    train_text: Files | None = None,
    probe: int | None = None,
    probe_objective: str = "alm",
    twins: str = "copy",
    trust_undertrained: bool = False,
    keep_digits: bool = False,
    limit: int | None = None,
    window: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    memory_budget: int | str | None = None,
    revision: str | None = None,
    donor_revision: str | None = None,
    trust_remote_code: bool = False,
    offline: bool = False,
    progress: bool = False,
) -> ComparisonReport:
    """Try methods of transplanting on one pair of models, and measure what each keeps.

    Nothing is written: the base is loaded once, and gets one set of new rows after the other. All
    methods see the same held-out shared tokens and the same documents. Which of them is best is
    chosen on a random half of the documents and judged on the other.

    Args:
        base: Model folder or hub name.
        donor: Another, or a bare tokenizer.
        text: Files, as `evaluate` takes them.
        methods: Names, or methods ready made; None tries all but `auto`, which only chooses.
        encoder: The text encoder, for methods that need one; None takes the packaged one.
        train_text: Files to fit vectors on, for methods that need text; None splits documents off
            `text` for them, which are then not scored (see `divide`). The probe trains on it, too.
        probe: Steps of training by the base after which methods are compared once more; None for
            none. Copies are trained.
        probe_objective: The probe's loss, as `distill` calls it.
        twins: What becomes of the donor's ids that no text becomes, as for `transplant`.
        trust_undertrained: Learn from rows that training hardly touched, too.
        keep_digits: Rewrite the donor's tokenizer so that it cuts numbers as the base's does.
        limit: Read only so many documents of each file of `text`.
        window: Tokens of a window; None takes the length the base was made for.
        device: "auto", "cpu", "cuda:0" or "mps".
        dtype: Number format to evaluate in, as for `evaluate`.
        seed: Seed of everything random.
        memory_budget: Bytes that batches may take, or "2GB"; None for half of what is free.
        revision, donor_revision: Of hub names.
        trust_remote_code: Whether Python code that comes with a model may run.
        offline: Never ask the hub.
        progress: Show bars on stderr.

    Returns:
        One entry per method, the best first; methods that could not run, with the reason.

    Raises:
        UsageError: An unknown method, one given twice, or none at all; a probe that cannot be.
        TokxferError: In one sentence, what is wrong with the models or the text.

    Example:
        >>> import tokxfer as tx
        >>> report = tx.compare("models/english-spbpe", "models/english-bytebpe",
        ...                     text="models/held_out.jsonl")  # doctest: +SKIP
    """
    every = [name for name in REGISTRY if name != "auto"]
    asked = list(every if methods is None else methods)
    chosen = [build_method(method) for method in asked]
    files = [text] if isinstance(text, (str, Path)) else list(text)
    if not chosen or not files:
        raise UsageError("A comparison takes at least one method and one text.")
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be 1 or more, not {limit}.")
    check_probe(probe, probe_objective)
    named = labelled(asked)
    documents = [d for file in files for d in read_documents(file, limit)]
    pair = Pair.open(
        base, donor, methods=chosen, revision=revision, donor_revision=donor_revision,
        twins=twins, keep_digits=keep_digits, trust_remote_code=trust_remote_code, offline=offline,
    )  # fmt: skip
    helpers = find_helpers(
        chosen, documents, encoder, train_text, seed=seed, progress=progress, device=device,
        offline=offline, trust_remote_code=trust_remote_code, probe=probe is not None,
    )  # fmt: skip
    documents = helpers.scored
    place = pick_device(device)
    budget = None if memory_budget in (None, "auto") else parse_size(memory_budget or 0)
    model = load_model(
        pair.base.path,
        dtype=pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None),
        device=place,
        trust_remote_code=trust_remote_code,
    )
    tokenizer = load_tokenizer(pair.base.path, trust_remote_code=trust_remote_code)
    told: dict[str, Any] = {"window": window, "memory_budget": budget, "progress": progress}
    before = evaluate_model(model, tokenizer, documents, name=pair.base_name, **told)
    bench = Workbench(
        pair, model, place, seed=seed, budget=budget, trust_undertrained=trust_undertrained
    )
    probing = None
    if probe is not None and helpers.corpus is not None:
        probing = Probe.of(
            bench.base(), helpers.corpus.documents, steps=probe, objective=probe_objective,
            seed=seed,
        )  # fmt: skip
    results, skipped = [], {}
    for name, method in named.items():
        try:
            helpers.check(method)
            made = bench.make(method, **helpers.of(method))
            after = evaluate_model(model, pair.donor_vocabulary, documents, name=name, **told)
        except TokxferError as failure:
            skipped[name] = " ".join(filter(None, (str(failure), failure.hint)))
            continue
        found = Compared(name, made, after, after.ratio(before))
        results.append(
            found if probing is None else with_probe(found, before, probing, bench, documents, told)
        )
    aligned = align_vocabularies(pair.base_vocabulary, pair.donor_vocabulary, documents)
    assert aligned.text is not None
    ordered = tuple(sorted(results, key=lambda result: result.ratio.value))
    return ComparisonReport(
        base=before,
        base_name=pair.base_name,
        donor_name=pair.donor_name,
        shared=aligned.shared,
        coverage=aligned.coverage,
        text_coverage=aligned.text.token_coverage,
        undertrained=bench.undertrained,
        results=ordered,
        skipped=skipped,
        verdict=judge(before, ordered, seed),
        probe_verdict=judge_probed(before, ordered, seed),
        settings={
            "text": [str(file) for file in files],
            "limit": limit,
            "window": window,
            "device": str(place),
            "dtype": dtype,
            "seed": seed,
            "twins": twins,
            "trust_undertrained": trust_undertrained,
            "keep_digits": keep_digits,
            "probe": probe,
            "probe_objective": None if probe is None else probe_objective,
            **helpers.to_dict(),
        },
        versions=versions(),
    )


def with_probe(
    found: Compared,
    base: Evaluation,
    probe: Probe,
    bench: Workbench,
    documents: Sequence[str],
    told: Mapping[str, Any],
) -> Compared:
    """What a method is worth after the probe, too, or why there was none."""
    vocabulary = bench.pair.donor_vocabulary
    try:
        model = probe.trained(bench.model, found.method, vocabulary)
        after = evaluate_model(model, vocabulary, documents, name=found.method, **told)
    except TokxferError as failure:
        reason = " ".join(filter(None, (str(failure), failure.hint)))
        return replace(found, probe_failure=reason)
    return replace(found, probed=after, probe_ratio=after.ratio(base))


def labelled(methods: Sequence[str | Method]) -> dict[str, Method]:
    """Methods by the name they were asked for; those given ready made with their own options.

    Raises:
        UsageError: Two are the same.
    """
    found: dict[str, Method] = {}
    for method in methods:
        name, built = method if isinstance(method, str) else label(method), build_method(method)
        if built in found.values():
            raise UsageError(f"The method {name!r} is given twice.", "Leave one out.")
        found[name] = built
    return found
