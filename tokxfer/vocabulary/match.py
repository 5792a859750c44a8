"""Two vocabularies lined up: special tokens by role, all others by bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from tokxfer.errors import UsageError
from tokxfer.vocabulary.roles import ROLES
from tokxfer.vocabulary.vocabulary import ByteVocabulary, Kind

INPUT_ORDER = ("bos", "cls", "eos", "sep", "pad", "unk", "mask")
OUTPUT_ORDER = ("eos", "sep", "bos", "cls", "pad", "unk", "mask")
TWINS = ("copy", "mean")
NEARLY = {"bos": "cls", "cls": "bos", "eos": "sep", "sep": "eos"}


class MatchKind(IntEnum):
    """Why a donor's id takes over a row of the base."""

    NONE = 0
    BYTES = 1  # the same bytes
    ROLE = 2  # the same role, or a special token of the same text
    UNUSED = 3  # a gap in both vocabularies: a row that no token reads
    TWIN = 4  # takes none: another id has the same bytes, and text becomes that one


@dataclass(frozen=True)
class RoleMatch:
    """One role of the donor and its counterpart; without one it gets the mean row."""

    role: str
    donor_token: str
    donor_id: int
    base_token: str | None
    base_id: int | None


@dataclass(frozen=True, eq=False)
class Match:
    """A donor's ids lined up with a base's.

    Attributes:
        base_ids: [donor.size] the base id whose input row a donor id takes over, −1 if none; int64.
        output_ids: [donor.size] the same for the output matrix. It differs only where one donor
            token both begins and ends texts: it takes the base's begin row as input, and its end
            row as output.
        how: [donor.size] `MatchKind`, uint8.
        shared: Distinct byte strings that both have, special tokens left out.
        coverage: `shared` over the donor's distinct byte strings, special tokens left out.
        roles: The donor's roles and their counterparts.
        digits_differ: Whether runs of digits are cut differently.
    """

    base_ids: npt.NDArray[np.int64]
    output_ids: npt.NDArray[np.int64]
    how: npt.NDArray[np.uint8]
    shared: int
    coverage: float
    roles: tuple[RoleMatch, ...]
    digits_differ: bool


def match(base: ByteVocabulary, donor: ByteVocabulary, *, twins: str = "copy") -> Match:
    """Line a donor's ids up with a base's.

    A mark that the base always cuts off counts as having the bytes of its text, too (see
    `ByteVocabulary.standing`). Of several base ids with the same bytes a donor id takes the one of
    the same spelling, else of the same kind, else the one that text becomes. A special token takes
    its counterpart by role; without one, the token of the same text. A gap takes the row of the
    same gap.

    Args:
        base: The base's vocabulary.
        donor: The donor's, which is the new one.
        twins: Of several donor ids with the same bytes (`e` and `<0x65>`) text becomes one. Where
            the base has one row for all of them, "copy" gives it to all, "mean" only to the one: a
            head then predicts a byte string once, not once for every spelling of it.

    Raises:
        UsageError: `twins` is neither.
    """
    if twins not in TWINS:
        raise UsageError(f"Twins cannot be {twins!r}.", f"Use {' or '.join(TWINS)}.")
    base_ids = np.full(donor.size, -1, dtype=np.int64)
    how = np.zeros(donor.size, dtype=np.uint8)
    for token in donor.text_ids.tolist():
        candidates = base.ids_of(donor.tokens[token])
        if donor.tokens[token] in base.standing:
            candidates = (base.standing[donor.tokens[token]], *candidates)
        if candidates:
            base_ids[token] = twin(base, candidates, donor.names[token], donor.kinds[token])
            how[token] = MatchKind.BYTES
    output_ids = base_ids.copy()
    roles_of = held_roles(donor)
    markers = {base.tokens[token]: token for token in reversed(markers_of(base))}
    for token in markers_of(donor):
        if how[token] == MatchKind.BYTES:
            continue
        held = roles_of.get(token, ())
        for found, order in ((base_ids, INPUT_ORDER), (output_ids, OUTPUT_ORDER)):
            ranked = [role for role in order if role in held]
            found[token] = counterpart(base, donor.tokens[token], ranked, markers)
        how[token] = MatchKind.ROLE if base_ids[token] >= 0 else MatchKind.NONE
    common = min(base.size, donor.size)
    both = (base.kinds[:common] == Kind.UNUSED) & (donor.kinds[:common] == Kind.UNUSED)
    gaps = np.flatnonzero(both)
    base_ids[gaps] = output_ids[gaps] = gaps
    how[gaps] = MatchKind.UNUSED
    if twins == "mean":
        never = twins_of(donor, base_ids)
        base_ids[never] = output_ids[never] = -1
        how[never] = MatchKind.TWIN
    shared = len(base.by_bytes.keys() & donor.by_bytes.keys())
    for array in (base_ids, output_ids, how):
        array.setflags(write=False)
    return Match(
        base_ids=base_ids,
        output_ids=output_ids,
        how=how,
        shared=shared,
        coverage=shared / max(len(donor.by_bytes), 1),
        roles=tuple(role_table(base, donor, base_ids)),
        digits_differ=base.digit_cuts != donor.digit_cuts,
    )


def twins_of(donor: ByteVocabulary, base_ids: npt.NDArray[np.int64]) -> list[int]:
    """Donor ids that no text becomes, and that take over the same row as the one it becomes."""
    return [
        token
        for first, *others in donor.by_bytes.values()
        for token in others
        if base_ids[first] >= 0 and base_ids[token] == base_ids[first]
    ]


def twin(base: ByteVocabulary, candidates: tuple[int, ...], name: str, kind: int) -> int:
    """The base id most like a donor's token, among those with its bytes."""
    if len(candidates) == 1:
        return candidates[0]
    return min(candidates, key=lambda i: (base.names[i] != name, base.kinds[i] != kind))


def held_roles(vocabulary: ByteVocabulary) -> dict[int, tuple[str, ...]]:
    """The roles of every token that has some."""
    held: dict[int, tuple[str, ...]] = {}
    for role, token in vocabulary.roles.items():
        held[token] = (*held.get(token, ()), role)
    return held


def markers_of(vocabulary: ByteVocabulary) -> list[int]:
    """Special tokens, then added ones: a release may call `<think>` either."""
    special = np.flatnonzero(vocabulary.kinds == Kind.SPECIAL).tolist()
    return special + np.flatnonzero(vocabulary.kinds == Kind.ADDED).tolist()


def counterpart(
    base: ByteVocabulary, text: bytes, ranked: list[str], markers: dict[bytes, int]
) -> int:
    """The base's token for a special one: same text and role, same role, nearly, same text."""
    same = markers.get(text, -1)
    if same >= 0 and any(base.roles.get(role) == same for role in ranked):
        return same
    for role in (*ranked, *(NEARLY[role] for role in ranked if role in NEARLY)):
        token = base.roles.get(role, -1)
        if token >= 0 and base.kinds[token] == Kind.SPECIAL:
            return token
    return same


def role_table(
    base: ByteVocabulary, donor: ByteVocabulary, base_ids: npt.NDArray[np.int64]
) -> Iterator[RoleMatch]:
    """One row per role of the donor, the common ones first."""
    rank = {role: place for place, role in enumerate(ROLES)}
    for role in sorted(
        donor.roles, key=lambda role: (rank.get(role, len(rank)), donor.roles[role])
    ):
        token = donor.roles[role]
        place = int(base_ids[token])
        of_role = base.roles.get(role, -1)
        if place >= 0 and of_role >= 0 and base.kinds[of_role] == Kind.SPECIAL:
            place = of_role
        yield RoleMatch(
            role=role,
            donor_token=donor.names[token],
            donor_id=token,
            base_token=base.names[place] if place >= 0 else None,
            base_id=place if place >= 0 else None,
        )
