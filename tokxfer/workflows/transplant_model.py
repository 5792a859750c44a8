"""`transplant_model`: the same transplant on a model already in memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import rewrite_config, rewrite_generation_config
from tokxfer.embeddings import Method, build_method, reads_donor
from tokxfer.errors import UnsupportedError
from tokxfer.vocabulary import ByteVocabulary, KeptDigits, match, rewrite_digits
from tokxfer.vocabulary.roles import ROLES
from tokxfer.workflows.corpus import Files, TextCorpus, open_corpus
from tokxfer.workflows.encoder import TextEncoder, open_encoder
from tokxfer.workflows.environment import versions
from tokxfer.workflows.fitting import hardly_fitted
from tokxfer.workflows.matrices import Matrices, check_donor, check_vocabularies, rebuild
from tokxfer.workflows.planning import counterparts, new_size
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.transplant_report import TransplantReport, peak_memory


def transplant_model(
    model: Any,
    tokenizer: Any,
    donor_model: Any | None,
    donor_tokenizer: Any,
    *,
    method: str | Method = "omp",
    keep_digits: bool = False,
    pad_to_multiple_of: int | None = None,
    seed: int = 0,
    memory_budget: int | None = None,
    encoder: str | Path | TextEncoder | None = None,
    twins: str = "copy",
    trust_undertrained: bool = False,
    train_text: Files | TextCorpus | None = None,
    progress: bool = False,
    **options: Any,
) -> tuple[Any, Any, TransplantReport]:
    """Give a loaded model the donor's tokenizer; the model is changed in place.

    Args:
        model: A transformers causal LM.
        tokenizer: Its fast tokenizer.
        donor_model: The donor; None for methods without donor weights.
        donor_tokenizer: The fast tokenizer the model gets.
        method: Name of an initializer, or one ready made.
        keep_digits: Rewrite the donor's tokenizer so that it cuts numbers as the base's does.
        pad_to_multiple_of: Round the rows up to a multiple of this.
        seed: Seed of everything random.
        memory_budget: Bytes that batches may take; None takes half of what is free.
        encoder: A text encoder's folder or hub name, or one ready made, for methods that need it;
            None takes the packaged one.
        twins: "copy" or "mean": rows of ids that have the same bytes as another and that no text
            becomes (see `match`).
        trust_undertrained: Learn from rows that training hardly touched, too.
        train_text: Files to fit vectors on, or a text ready made, for methods that need it.
        progress: Show a bar on stderr.
        options: The method's own options, such as k.

    Returns:
        The model, its new tokenizer (`donor_tokenizer` itself, or its rewritten copy), and the
        report.

    Raises:
        UnsupportedError: A tokenizer is slow, or the method needs donor weights and has none.
            Or the base's way of cutting numbers cannot be kept.
        VocabularyError: The vocabularies share nothing.
    """
    started = time.perf_counter()
    chosen = build_method(method, **options)
    text_encoder = open_encoder(chosen, encoder, progress=progress)
    corpus = open_corpus(chosen, train_text, progress=progress)
    base_vocabulary = vocabulary_of(tokenizer)
    donor_vocabulary = vocabulary_of(donor_tokenizer)
    kept = rewrite_digits(base_vocabulary, donor_vocabulary) if keep_digits else None
    if kept is not None and kept.changed:
        donor_vocabulary = kept.vocabulary
        donor_tokenizer = with_backend(donor_tokenizer, kept)
    matched = match(base_vocabulary, donor_vocabulary, twins=twins)
    base = matrices_of(model)
    check_donor(chosen, donor_name="the donor", weights=donor_model is not None)
    check_vocabularies(matched, base_vocabulary, len(base.input))
    size = new_size(matched, len(base.input), pad_to_multiple_of)
    donor = None
    if donor_model is not None and reads_donor(chosen):
        donor = matrices_of(donor_model).to(base.input.device)
        if kept is not None and kept.added:  # padding is no row of what was added
            donor = donor.first(kept.donor_size)
    new = int((matched.base_ids < 0).sum()) * (1 if base.output is None else 2)
    with progress_bar(new, f"rows by {chosen.name}", "row", progress) as bar:
        rebuilt = rebuild(
            base, donor, base_vocabulary, donor_vocabulary, matched, chosen, size,
            seed=seed, memory_budget=memory_budget, advance=bar.update, encoder=text_encoder,
            trust_undertrained=trust_undertrained,
            corpus=corpus,
        )  # fmt: skip
    rows_before = len(base.input)
    install(model, rebuilt.matrices, donor_vocabulary.roles, counterparts(matched))
    chose = {matrix: dict(part.details) for matrix, part in rebuilt.assemblies.items()}
    report = TransplantReport(
        base=model.config.name_or_path or type(model).__name__,
        donor=getattr(donor_tokenizer, "name_or_path", "") or "donor",
        out="",
        method=chosen.name,
        options={**dataclasses.asdict(chosen), "seed": seed},  # type: ignore[call-overload]
        base_size=base_vocabulary.size,
        donor_size=donor_vocabulary.size,
        rows_before=rows_before,
        rows_after=size,
        tied=base.output is None,
        shared=matched.shared,
        rows={matrix: part.map.counts() for matrix, part in rebuilt.assemblies.items()},
        roles=tuple(dataclasses.asdict(role) for role in matched.roles),
        versions=versions(),
        chosen=chose,
        undertrained={m: dict(part.undertrained) for m, part in rebuilt.assemblies.items()},
        digits_kept=None if kept is None else kept.to_dict(),
        checks=(),
        warnings=(
            *(() if kept is None or kept.changed else (f"keep_digits: {kept.sentence()}",)),
            *hardly_fitted(chosen.name, chose),
        ),
        seconds=time.perf_counter() - started,
        peak_bytes=peak_memory(),
    )
    return model, donor_tokenizer, report


def vocabulary_of(tokenizer: Any) -> ByteVocabulary:
    """The byte vocabulary of a transformers tokenizer, with the roles it names.

    Raises:
        UnsupportedError: The tokenizer is slow: it has no `tokenizer.json` in it.
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UnsupportedError(
            f"{type(tokenizer).__name__} is a slow tokenizer; its tokens cannot be read as bytes.",
            "Load it with AutoTokenizer.from_pretrained(…, use_fast=True).",
        )
    config = {f"{role}_token": getattr(tokenizer, f"{role}_token", None) for role in ROLES}
    return ByteVocabulary.from_tokenizer(fast, config)


def with_backend(tokenizer: Any, kept: KeptDigits) -> Any:
    """A tokenizer of the same special tokens, settings and chat template on rewritten content.

    Its class takes the content as it is; that of the donor may rebuild parts of it on loading.
    """
    from transformers import PreTrainedTokenizerFast

    names = ("model_max_length", "padding_side", "truncation_side", "chat_template",
             "clean_up_tokenization_spaces", "model_input_names")  # fmt: skip
    settings = {name: getattr(tokenizer, name, None) for name in names}
    special = {f"{role}_token": getattr(tokenizer, f"{role}_token", None) for role in ROLES}
    given = {name: value for name, value in (settings | special).items() if value is not None}
    return PreTrainedTokenizerFast(tokenizer_object=kept.vocabulary.tokenizer, **given)


def matrices_of(model: Any) -> Matrices:
    """A loaded model's embedding matrices and head bias, as they lie in memory.

    Raises:
        UnsupportedError: The model has no output embeddings.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedError(
            f"{type(model).__name__} has no output embeddings.",
            "Give a causal language model, or transplant an encoder from folder to folder.",
        )
    weight = model.get_input_embeddings().weight.detach()
    tied = head.weight.data_ptr() == weight.data_ptr()
    bias = getattr(head, "bias", None)
    return Matrices(
        weight, None if tied else head.weight.detach(), None if bias is None else bias.detach()
    )


@torch.no_grad()
def install(
    model: Any, new: Matrices, roles: Mapping[str, int], new_ids: Mapping[int, int]
) -> None:
    """Put new matrices into a loaded model and set its special ids, as a written folder has them.

    Args:
        model: The model, changed in place.
        new: Its new matrices.
        roles: Id by role in the new vocabulary.
        new_ids: New id by old id, for settings that name other tokens.
    """
    size = len(new.input)
    padded = getattr(model.get_input_embeddings(), "padding_idx", None) is not None
    model.resize_token_embeddings(size, mean_resizing=False)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding.weight.copy_(new.input)
    if padded:
        embedding.padding_idx = roles.get("pad")
    if new.output is not None:
        head.weight.copy_(new.output)
    if new.bias is not None:
        head.bias.copy_(new.bias)
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        rewritten = rewrite_config(
            config.to_dict(), vocab_size=size, roles=roles, tied=new.output is None, ids=new_ids
        )
        set_ids(config, rewritten)
    if model.generation_config is not None:
        generation = rewrite_generation_config(
            model.generation_config.to_dict(), roles=roles, ids=new_ids, vocab_size=size
        )
        set_ids(model.generation_config, generation or {})


def set_ids(config: Any, rewritten: Mapping[str, Any]) -> None:
    """Take over every setting of a rewritten config that names tokens; what is left out is None."""
    for name, old in config.to_dict().items():
        names_tokens = name.endswith(("_token_id", "_token_ids", "_token_index", "_words_ids"))
        if names_tokens or name in ("sequence_bias", "suppress_tokens", "begin_suppress_tokens"):
            new = rewritten.get(name)
            if new != old:
                setattr(config, name, new)
