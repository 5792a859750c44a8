"""Every transplant proves what it preserved before it is put in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer

from tokxfer.checkpoints import ModelFolder, load_tokenizer, skeleton, validate_folder
from tokxfer.errors import TokxferError, VerificationError
from tokxfer.vocabulary import Origin, VocabularyMap, read_vocabulary
from tokxfer.vocabulary.digits import RUNS
from tokxfer.workflows.samples import SAMPLES

if TYPE_CHECKING:
    from tokxfer.workflows.planning import Plan

HINT = (
    "Nothing was written. If 'tokxfer validate' finds the base sound, please report this with the "
    "output of 'tokxfer env'."
)


@dataclass(frozen=True)
class PostCondition:
    """One thing that was checked on the written folder."""

    name: str
    ok: bool
    detail: str


def check_result(
    plan: Plan, folder: Path, maps: dict[str, VocabularyMap]
) -> tuple[PostCondition, ...]:
    """Check a written folder against its base and donor.

    Args:
        plan: What was to be done.
        folder: The folder as written, not yet in its place.
        maps: For each matrix, how its rows came about.

    Returns:
        The post-conditions, all of which hold.

    Raises:
        VerificationError: One does not hold.
    """
    try:
        return tuple(judge(plan, folder, maps))
    except VerificationError:
        raise
    except TokxferError as failure:
        raise VerificationError(f"The result is not sound: {failure.message}", HINT) from failure


def judge(plan: Plan, folder: Path, maps: dict[str, VocabularyMap]) -> Iterator[PostCondition]:
    """Every post-condition in turn, as far as they hold; later ones build upon earlier ones."""
    result = ModelFolder.open(folder, trust_remote_code=plan.trust_remote_code)
    yield require(check_structure(plan, result))
    yield require(check_copied_rows(plan, result, maps))
    yield require(check_body(plan, result))
    yield require(check_tokenizer(plan, folder))
    if plan.digits is not None:
        yield require(check_digits(plan, folder))
    for check in validate_folder(
        folder, trust_remote_code=plan.trust_remote_code, memory_budget=plan.memory_budget
    ):
        yield require(PostCondition(f"folder: {check.name}", check.ok, check.detail))


def require(check: PostCondition) -> PostCondition:
    """A check that holds; the failure of one that does not."""
    if not check.ok:
        detail = check.detail.removesuffix(".")
        raise VerificationError(f"The result failed its check '{check.name}': {detail}.", HINT)
    return check


def check_structure(plan: Plan, result: ModelFolder) -> PostCondition:
    """Every key, shape and tie, against the base's files and the plain Auto class on meta."""
    before, after = plan.base.embeddings, result.embeddings
    resized = {before.input, before.output, before.bias}
    wanted = {
        name: info.shape for name, info in plan.base.tensors.items() if name not in before.redundant
    }
    for name in resized & wanted.keys():
        assert name is not None
        wanted[name] = (plan.size, *wanted[name][1:])
    if plan.untie:
        wanted[before.head] = (plan.size, before.dim)
    found = {name: info.shape for name, info in result.tensors.items()}
    problems = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    problems += [f"{name} was added" for name in found.keys() - wanted.keys()]
    model = skeleton(result.path, trust_remote_code=plan.trust_remote_code)
    classes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, shape in found.items():
        for expected in (wanted.get(name, shape), classes.get(name, shape)):
            if shape != expected:
                problems.append(f"{name} is {list(shape)}, not {list(expected)}")
    if after.tied != plan.tied:
        problems.append(f"input and output are {'' if after.tied else 'not '}tied")
    detail = "; ".join(problems) or f"{len(found):,} tensors as the model's class wants them"
    return PostCondition("keys, shapes and ties", not problems, detail)


def check_copied_rows(
    plan: Plan, result: ModelFolder, maps: dict[str, VocabularyMap]
) -> PostCondition:
    """Rows of shared tokens equal the base's, bit for bit (after the change of dtype, if any).

    So do the elements of the head's bias. Every other row is finite.
    """
    before, after = plan.base.embeddings, result.embeddings
    head = maps.get("output", maps.get("tied"))
    names = {
        "tied": (before.input, after.input),
        "input": (before.input, after.input),
        "output": (before.output or before.input, after.output),
    }
    compared = [(matrix, each, *names[matrix]) for matrix, each in maps.items()]
    if before.bias is not None and head is not None:
        compared.append(("bias", head, before.bias, after.bias))
    counted = 0
    for matrix, vocabulary_map, old_name, new_name in compared:
        assert old_name is not None, "a matrix that was rebuilt is one of the base's"
        assert new_name is not None, "keys and ties hold, so both models have it"
        old, new = plan.base.read(old_name), result.read(new_name)
        copied = np.isin(vocabulary_map.origins, (Origin.COPIED, Origin.ROLE))
        sources = vocabulary_map.indices[vocabulary_map.indptr[:-1][copied]]
        expected = old[torch.from_numpy(sources)].to(plan.dtype or old.dtype)
        found = new[torch.from_numpy(np.flatnonzero(copied))]
        if not same_bits(expected, found):
            return PostCondition("shared rows", False, f"rows of the {matrix} matrix differ")
        if not bool(torch.isfinite(new.float()).all()):
            return PostCondition("shared rows", False, f"the {matrix} matrix has rows not finite")
        counted += int(copied.sum())
    return PostCondition("shared rows", True, f"{counted:,} rows bit-identical to the base's")


def check_body(plan: Plan, result: ModelFolder) -> PostCondition:
    """Every tensor outside the embeddings equals the base's, tensor by tensor."""
    layout = plan.base.embeddings
    replaced = {layout.input, layout.output, layout.bias, *layout.redundant}
    body = [name for name in plan.base.tensors if name not in replaced]
    for name in body:
        old, new = plan.base.read(name), result.read(name)
        if old.is_floating_point() and plan.dtype is not None:
            old = old.to(plan.dtype)
        if not same_bits(old, new):
            return PostCondition("body", False, f"{name} differs from the base's")
    return PostCondition("body", True, f"{len(body):,} tensors bit-identical to the base's")


def check_tokenizer(plan: Plan, folder: Path) -> PostCondition:
    """The result's tokenizer, as the plain Auto class loads it, gives the donor's ids and text.

    Where digits are kept, the donor's tokenizer is the rewritten one.
    """
    tokenizer = load_tokenizer(folder, trust_remote_code=plan.trust_remote_code)
    donor: Tokenizer = plan.donor_vocabulary.tokenizer
    for text in SAMPLES:
        expected = donor.encode(text, add_special_tokens=False).ids
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
        if found != expected:
            return PostCondition("tokenizer", False, f"{text!r} gives other ids than the donor's")
        spelled = donor.decode(expected, skip_special_tokens=False)
        if tokenizer.decode(found, clean_up_tokenization_spaces=False) != spelled:
            return PostCondition("tokenizer", False, f"{text!r} decodes to other text")
    whose = "the donor's"
    if plan.digits is not None and plan.digits.changed:
        whose = "the donor's (rewritten for digits)"
    return PostCondition("tokenizer", True, f"{whose} ids and text on {len(SAMPLES)} samples")


def check_digits(plan: Plan, folder: Path) -> PostCondition:
    """The result's tokenizer file, read anew, cuts numbers as the base's does."""
    found, expected = read_vocabulary(folder).digit_cuts, plan.base_vocabulary.digit_cuts
    wrong = [run for run, a, b in zip(RUNS, found, expected, strict=True) if a != b]
    if wrong:
        return PostCondition("digits", False, f"{wrong[0]} is not cut as by the base")
    return PostCondition("digits", True, f"{len(RUNS)} runs are cut as by the base")


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors have one dtype, one shape and the same bytes (NaNs included)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return torch.equal(left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8))
