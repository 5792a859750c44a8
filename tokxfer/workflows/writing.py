"""Writing a transplant: weights, configuration, tokenizer, card and manifest, then the checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tokxfer.checkpoints import (
    ModelFolder,
    WrittenTokenizer,
    has_chat_template,
    read_stop_ids,
    rewrite_config,
    rewrite_generation_config,
    write_model,
    write_tokenizer,
)
from tokxfer.vocabulary import Origin, twins_of
from tokxfer.workflows.bytestudent import BYTES
from tokxfer.workflows.card import licence_of, write_card
from tokxfer.workflows.environment import versions
from tokxfer.workflows.fitting import hardly_fitted
from tokxfer.workflows.manifest import file_hashes, write_manifest
from tokxfer.workflows.matrices import Rebuilt
from tokxfer.workflows.planning import Plan, counterparts
from tokxfer.workflows.postconditions import PostCondition, check_result
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.transplant_report import TransplantReport


def write_transplant(
    plan: Plan, folder: Path, rebuilt: Rebuilt, *, progress: bool = False
) -> TransplantReport:
    """Write a whole model folder and prove that it is what it should be.

    Args:
        plan: What was to be done.
        folder: An empty folder, a temporary sibling of the plan's `out`.
        rebuilt: The new matrices.
        progress: Show a bar on stderr.

    Raises:
        VerificationError: A post-condition does not hold.
    """
    roles = dict(plan.donor_vocabulary.roles)
    new_ids = counterparts(plan.match)
    config = rewrite_config(
        plan.base.config,
        vocab_size=plan.size,
        roles=roles,
        tied=None if plan.base.embeddings.headless else plan.tied,
        ids=new_ids,
    )
    generation = rewrite_generation_config(
        plan.base.generation_config,
        roles={**roles, **stop_ids(plan)},
        ids=new_ids,
        vocab_size=plan.size,
    )
    with progress_bar(plan.disk_bytes(), "weights", "B", progress) as bar:
        write_model(
            plan.base,
            folder,
            replace=new_tensors(plan, rebuilt),
            config=config,
            generation_config=generation,
            dtype=plan.dtype,
            max_shard_size=plan.max_shard_size,
            advance=bar.update,
        )
    written = write_tokenizer(
        plan.donor_path,
        folder,
        content=new_content(plan),
        roles=roles,
        max_length=plan.base.max_length,
        trust_remote_code=plan.trust_remote_code,
    )
    warnings = describe(plan, folder, rebuilt) + tokenizer_warnings(plan, written)
    maps = {matrix: assembly.map for matrix, assembly in rebuilt.assemblies.items()}
    checks = check_result(plan, folder, maps)
    return make_report(plan, rebuilt, checks, warnings)


def new_content(plan: Plan) -> Mapping[str, Any] | None:
    """What `tokenizer.json` becomes where it is not the donor's own; a frame comes last."""
    changed = plan.framed or plan.digits
    return None if changed is None else changed.content


def new_tensors(plan: Plan, rebuilt: Rebuilt) -> dict[str, torch.Tensor]:
    """The tensors that take the place of the base's, by name, on the CPU."""
    layout, matrices = plan.base.embeddings, rebuilt.matrices
    named = {
        layout.input: matrices.input,
        layout.head if plan.untie else layout.output: matrices.output,
        layout.bias: matrices.bias,
    }
    return {
        name: tensor.cpu().contiguous()
        for name, tensor in named.items()
        if name is not None and tensor is not None
    }


def describe(plan: Plan, folder: Path, rebuilt: Rebuilt) -> list[str]:
    """Write card and manifest; return what a user should be warned of."""
    base_licence, donor_licence = licence_of(plan.base.path), licence_of(donor_folder(plan))
    counts = {matrix: assembly.map.counts() for matrix, assembly in rebuilt.assemblies.items()}
    origins = [o.name.lower() for o in Origin if any(o.name.lower() in c for c in counts.values())]
    facts = {
        "base": plan.base_name,
        "donor": plan.donor_name,
        "parents": [plan.base_name, *([] if plan.bytes_only else [plan.donor_name])],
        "bytes_only": plan.bytes_only is not None,
        "untied": plan.untie,
        "relation": "merge" if plan.donor is not None else "finetune",
        "method": plan.method.name,
        "chosen": {
            matrix: assembly.details["method"]
            for matrix, assembly in rebuilt.assemblies.items()
            if "method" in assembly.details
        },
        "base_tokens": plan.base_vocabulary.size,
        "donor_tokens": plan.donor_vocabulary.size,
        "base_rows": plan.base.embeddings.rows,
        "new_rows": plan.size,
        "origins": origins,
        "estimated": any(origin not in ("copied", "role") for origin in origins),
        "rows": counts,
        "digits_differ": plan.match.digits_differ,
        "digits_kept": None if plan.digits is None else plan.digits.sentence(),
        **kind_of(plan),
    }
    conflict = write_card(folder, facts, {"base": base_licence, "donor": donor_licence})
    write_manifest(
        folder,
        inputs={
            "base": {
                "name": plan.base_name,
                "revision": plan.base.revision,
                "sha256": file_hashes(folder_files(plan.base)),
            },
            "donor": {
                "name": plan.donor_name,
                "revision": plan.donor_revision,
                "sha256": file_hashes(donor_files(plan)),
            },
            **({} if plan.encoder is None else {"encoder": plan.encoder.to_dict()}),
            **({} if plan.corpus is None else {"train_text": plan.corpus.to_dict()}),
        },
        options=resolved_options(plan),
        versions=versions(),
        result=plan.to_dict() | {"out": plan.out.name},
        assemblies=rebuilt.assemblies,
    )
    warnings = [] if conflict is None else [conflict]
    if plan.digits is not None and not plan.digits.changed:
        warnings.append(f"--keep-digits: {plan.digits.sentence()}")
    if plan.match.digits_differ:
        old, new = plan.base_vocabulary.digits, plan.donor_vocabulary.digits
        how = f"{old} in the base, {new} in the donor" if old != new else f"{old} in both, unlike"
        warnings.append(f"Digits are segmented differently ({how}): expect arithmetic to suffer.")
    twins = twins_of(plan.donor_vocabulary, plan.match.output_ids)
    if twins:
        example = plan.donor_vocabulary.names[twins[0]]
        warnings.append(
            f"{len(twins)} ids of the donor ({example}, …) have the bytes of another id; no text "
            "becomes them, but the head predicts them as often. --twins mean prevents that."
        )
    mean = [role for role in plan.match.roles if role.base_id is None and role.donor_id is not None]
    if mean:
        names = ", ".join(f"{role.donor_token} ({role.role})" for role in mean)
        warnings.append(f"No counterpart in the base, so the mean row: {names}.")
    chosen = {matrix: part.details for matrix, part in rebuilt.assemblies.items()}
    return warnings + hardly_fitted(plan.method.name, chosen)


def kind_of(plan: Plan) -> dict[str, str]:
    """The library that loads the result, and its task, as the hub calls them."""
    if not plan.base.embeddings.headless:
        return {"library": "transformers", "task": "text-generation"}
    if (plan.base.path / "modules.json").is_file():
        return {"library": "sentence-transformers", "task": "sentence-similarity"}
    return {"library": "transformers", "task": "feature-extraction"}


def stop_ids(plan: Plan) -> dict[str, list[int]]:
    """Several ids at which the donor's own configs end a text, as the role "eos"; else nothing."""
    found = read_stop_ids(plan.donor_path) if plan.donor_path.is_dir() else []
    return {"eos": found} if len(found) > 1 else {}


def tokenizer_warnings(plan: Plan, written: WrittenTokenizer) -> list[str]:
    """What the new tokenizer lacks of what the donor's configs promise, or of what the base had."""
    warnings = [] if plan.framed is None else [plan.framed.told]
    if plan.bytes_only is not None:
        warnings += byte_warnings(plan)
    if written.dropped:
        warnings.append(
            f"Left out, since tokenizer.json of {plan.donor_name} lacks them: "
            f"{', '.join(written.dropped)}. AutoTokenizer gives them ids of their own there."
        )
    if written.plain_code:
        warnings.append(
            "AutoTokenizer would rebuild this tokenizer by the model's type, so the folder brings "
            "a loader of five lines: give trust_remote_code=True when you load the tokenizer."
        )
    if not written.chat_template and has_chat_template(plan.base.path):
        warnings.append(
            f"The chat template of {plan.base_name} is gone: it is written in its old tokens, and "
            f"{plan.donor_name} has none."
        )
    return warnings


def byte_warnings(plan: Plan) -> list[str]:
    """What to know of a model of bytes: how little text it reads at once, and a name taken."""
    warnings = []
    if plan.base.max_length is not None:
        warnings.append(
            f"It reads {plan.base.max_length:,} bytes at once, where {plan.base_name} reads as "
            "many tokens: positions are as they were. Train it before you use it."
        )
    if Path(BYTES).exists():
        warnings.append(f"{BYTES} here is not the path of that name: give ./{BYTES} for it.")
    return warnings


def donor_folder(plan: Plan) -> Path:
    """The folder that holds the donor's tokenizer, and its card if it has one."""
    return plan.donor_path if plan.donor_path.is_dir() else plan.donor_path.parent


def donor_files(plan: Plan) -> list[Path]:
    """The donor's files that the result depends on: its tokenizer, and its weights where used."""
    if plan.donor is not None:
        return folder_files(plan.donor)
    if plan.donor_path.is_file():
        return [plan.donor_path]
    names = ("tokenizer.json", "tokenizer_config.json")
    return [plan.donor_path / name for name in names if (plan.donor_path / name).is_file()]


def folder_files(folder: ModelFolder) -> list[Path]:
    """A model's config, tokenizer and weight files."""
    weights = sorted({info.file for info in folder.tensors.values()})
    generation = folder.path / "generation_config.json"
    return [
        folder.path / "config.json",
        *([generation] if generation.is_file() else []),
        *folder.tokenizer_files(),
        *weights,
    ]


def resolved_options(plan: Plan) -> dict[str, Any]:
    """The method's options and everything else that the result depends on."""
    return {
        "method": plan.method.name,
        **dataclasses.asdict(plan.method),  # type: ignore[call-overload]
        **({} if plan.encoder is None else {"encoder": plan.encoder.name}),
        "twins": plan.twins,
        "trust_undertrained": plan.trust_undertrained,
        **({} if plan.corpus is None else {"train_text": list(plan.corpus.files)}),
        "keep_digits": plan.digits is not None,
        "untie": plan.untie,
        "rows": plan.size,
        "device": str(plan.device),
        "dtype": str(plan.dtype or plan.base.dtype).removeprefix("torch."),
        "seed": plan.seed,
        "max_shard_size": plan.max_shard_size,
        "trust_remote_code": plan.trust_remote_code,
    }


def make_report(
    plan: Plan, rebuilt: Rebuilt, checks: tuple[PostCondition, ...], warnings: list[str]
) -> TransplantReport:
    """The account of what was done; time and memory are added by the caller."""
    assemblies = rebuilt.assemblies
    return TransplantReport(
        base=plan.base_name,
        donor=plan.donor_name,
        out=str(plan.out),
        method=plan.method.name,
        options=resolved_options(plan),
        base_size=plan.base_vocabulary.size,
        donor_size=plan.donor_vocabulary.size,
        rows_before=plan.base.embeddings.rows,
        rows_after=plan.size,
        tied=plan.tied,
        shared=plan.match.shared,
        rows={matrix: assembly.map.counts() for matrix, assembly in assemblies.items()},
        roles=tuple(dataclasses.asdict(role) for role in plan.match.roles),
        chosen={matrix: dict(assembly.details) for matrix, assembly in assemblies.items()},
        undertrained={m: dict(assembly.undertrained) for m, assembly in assemblies.items()},
        digits_kept=None if plan.digits is None else plan.digits.to_dict(),
        versions=versions(),
        checks=checks,
        warnings=tuple(warnings),
    )
