"""What two vocabularies share, by token and by text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokxfer.errors import VocabularyError
from tokxfer.vocabulary import ByteVocabulary, Kind, Match, MatchKind, RoleMatch, match
from tokxfer.vocabulary import read_vocabulary as read
from tokxfer.workflows.text import batches, read_documents

if TYPE_CHECKING:
    from tokenizers import Encoding


@dataclass(frozen=True)
class Fertility:
    """How one tokenizer cuts a text.

    Attributes:
        tokens: Tokens of the whole text, special ones of a post-processor not counted.
        bytes_per_token: UTF-8 bytes of the text over its tokens.
        tokens_per_word: Tokens over words between white space.
        unknown: Tokens that stand for what the vocabulary cannot spell.
    """

    tokens: int
    bytes_per_token: float
    tokens_per_word: float
    unknown: int


@dataclass(frozen=True)
class TextReport:
    """Two tokenizers on one text.

    Attributes:
        documents: How many.
        bytes: In UTF-8.
        words: Runs of characters between white space.
        token_coverage: Share of the donor's tokens in the text whose rows come from the base.
        byte_coverage: Share of the bytes that these tokens stand for.
        base: The base's fertility.
        donor: The donor's fertility.
    """

    documents: int
    bytes: int
    words: int
    token_coverage: float
    byte_coverage: float
    base: Fertility
    donor: Fertility


@dataclass(frozen=True)
class AlignmentReport:
    """What a donor's vocabulary shares with a base's.

    Attributes:
        base: Name of the base.
        donor: Name of the donor.
        shared: Distinct byte strings that both have, special tokens left out.
        base_size: Ids of the base, special ones included, gaps between ids not.
        donor_size: Ids of the donor, likewise.
        coverage: `shared` over the donor's distinct byte strings, special tokens left out.
        base_family: Family of the base's tokenizer.
        donor_family: Family of the donor's tokenizer.
        kinds: Donor's ids by how they are matched.
        roles: The donor's special tokens and their counterparts.
        digits: How both cut runs of digits, and whether they `differ`.
        text: The text's share, if one was given.
    """

    base: str
    donor: str
    shared: int
    base_size: int
    donor_size: int
    coverage: float
    base_family: str
    donor_family: str
    kinds: Mapping[str, int]
    roles: tuple[RoleMatch, ...]
    digits: Mapping[str, Any]
    text: TextReport | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may go wrong with this pair, a sentence each."""
        found = []
        if self.digits["differ"]:
            found.append(
                f"Numbers are cut differently: {self.digits['base']} by the base, "
                f"{self.digits['donor']} by the donor. A transplant loses arithmetic first."
            )
        if not self.shared:
            found.append("No token is shared: nothing can be copied, or learnt from what is.")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values: what `--json` prints."""
        body = asdict(self) | {"warnings": list(self.warnings)}
        body["roles"] = [
            asdict(role) | {"row": "mean" if role.base_id is None else "base"}
            for role in self.roles
        ]
        return body


def align(
    base: str | Path,
    donor: str | Path,
    *,
    text: str | Path | Sequence[str | Path] | None = None,
    limit: int | None = None,
    revision: str | None = None,
    donor_revision: str | None = None,
    offline: bool = False,
    progress: bool = False,
) -> AlignmentReport:
    """Compare two tokenizers: what they share, by vocabulary and by text.

    Args:
        base: Model folder, tokenizer folder, `tokenizer.json` or hub name of the base.
        donor: The same of the donor.
        text: Files that `read_documents` reads; shares and fertility are measured on them.
        limit: Read this many documents of each file at most.
        revision: Git revision of the base, if it is a hub name.
        donor_revision: Git revision of the donor, if it is a hub name.
        offline: Never ask the model hub.
        progress: Show a bar while the text is read.

    Raises:
        TokxferError: A tokenizer or text cannot be read; the sentence says which and why.

    Example:
        >>> import tokxfer as tx
        >>> tx.align("models/english-spbpe", "models/english-bytebpe").coverage > 0.2
        True
    """
    from tokxfer.checkpoints import resolve

    paths = [text] if isinstance(text, (str, Path)) else text
    documents = (
        chain.from_iterable(read_documents(path, limit) for path in paths) if paths else None
    )
    base_path, _ = resolve(base, revision=revision, offline=offline, weights=False)
    donor_path, _ = resolve(donor, revision=donor_revision, offline=offline, weights=False)
    return align_vocabularies(
        read(base_path), read(donor_path), documents, names=(str(base), str(donor)),
        progress=progress,
    )  # fmt: skip


def align_vocabularies(
    base: ByteVocabulary,
    donor: ByteVocabulary,
    documents: Iterable[str] | None = None,
    *,
    names: tuple[str, str] = ("base", "donor"),
    progress: bool = False,
) -> AlignmentReport:
    """Compare two vocabularies that have been read; `align` says how."""
    matched = match(base, donor)
    return AlignmentReport(
        base=names[0],
        donor=names[1],
        shared=matched.shared,
        base_size=base.used,
        donor_size=donor.used,
        coverage=matched.coverage,
        base_family=base.family,
        donor_family=donor.family,
        kinds=count_kinds(base, donor, matched),
        roles=matched.roles,
        digits={"base": base.digits, "donor": donor.digits, "differ": matched.digits_differ},
        text=None if documents is None else weigh(base, donor, matched, documents, progress),
    )


def count_kinds(base: ByteVocabulary, donor: ByteVocabulary, matched: Match) -> dict[str, int]:
    """The donor's ids by how they are matched; every id but those of gaps is counted once."""
    by_bytes = np.flatnonzero(matched.how == MatchKind.BYTES)
    places = matched.base_ids[by_bytes]
    alike = np.fromiter(
        (donor.names[i] == base.names[j] for i, j in zip(by_bytes, places, strict=True)), bool
    )
    byte = (base.kinds[places] == Kind.BYTE) | (donor.kinds[by_bytes] == Kind.BYTE)
    alone = donor.kinds[matched.how == MatchKind.NONE]
    return {
        "same_spelling": int(alike.sum()),
        "other_spelling": int((~alike & ~byte).sum()),
        "byte_token": int((~alike & byte).sum()),
        "role": int((matched.how == MatchKind.ROLE).sum()),
        "unmatched": int(((alone != Kind.SPECIAL) & (alone != Kind.UNUSED)).sum()),
        "unmatched_special": int((alone == Kind.SPECIAL).sum()),
    }


def weigh(
    base: ByteVocabulary,
    donor: ByteVocabulary,
    matched: Match,
    documents: Iterable[str],
    progress: bool,
) -> TextReport:
    """Count both tokenizers' tokens in a text, and how many of the donor's are shared."""
    from tokxfer.workflows.progress import progress_bar

    base_counts = np.zeros(base.size, dtype=np.int64)
    donor_counts = np.zeros(donor.size, dtype=np.int64)
    total = words = size = 0
    with progress_bar(None, "Reading the text", "B", progress) as bar:
        for batch in batches(documents):
            for counts, vocabulary in ((base_counts, base), (donor_counts, donor)):
                for row in encode(vocabulary, batch):
                    counts += np.bincount(row.ids, minlength=len(counts))
            read_now = sum(len(text.encode()) for text in batch)
            total += len(batch)
            words += sum(len(text.split()) for text in batch)
            size += read_now
            bar.update(read_now)
    lengths = np.array([len(spelled) for spelled in donor.tokens]) * donor_counts
    shared = matched.how == MatchKind.BYTES
    return TextReport(
        documents=total,
        bytes=size,
        words=words,
        token_coverage=float(donor_counts[shared].sum() / max(donor_counts.sum(), 1)),
        byte_coverage=float(lengths[shared].sum() / max(lengths.sum(), 1)),
        base=fertility(base, base_counts, size, words),
        donor=fertility(donor, donor_counts, size, words),
    )


def encode(vocabulary: ByteVocabulary, batch: list[str]) -> list[Encoding]:
    """Encode texts without special tokens.

    Raises:
        VocabularyError: The tokenizer cannot spell a text, and has no unknown token.
    """
    try:
        return vocabulary.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    except Exception as failure:  # tokenizers raises plain exceptions
        raise VocabularyError(
            f"{vocabulary.source.name} cannot encode the text: {failure}.",
            "Its tokenizer.json is damaged: it needs an unknown token, or one for every byte.",
        ) from failure


def fertility(vocabulary: ByteVocabulary, counts: Any, size: int, words: int) -> Fertility:
    """The fertility of one tokenizer from the counts [size] of its ids in a text."""
    tokens = int(counts.sum())
    unknown = vocabulary.roles.get("unk", -1)
    return Fertility(
        tokens=tokens,
        bytes_per_token=size / max(tokens, 1),
        tokens_per_word=tokens / max(words, 1),
        unknown=int(counts[unknown]) if unknown >= 0 else 0,
    )
