"""`doctor`: what a teacher and a student will make of one another, before any training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.alignment.pairing import Aligner
from tokxfer.alignment.report import AlignmentFigures, alignment_figures
from tokxfer.checkpoints import ModelFolder, pick_device, resolve
from tokxfer.checkpoints.sizes import available_memory
from tokxfer.errors import UsageError
from tokxfer.vocabulary import ByteVocabulary
from tokxfer.vocabulary import read_vocabulary as read
from tokxfer.vocabulary.roles import ROLES
from tokxfer.vocabulary.spelling import FAITHFUL_NORMALIZERS, LOSSY_PRETOKENIZERS, components
from tokxfer.workflows.doctor_warnings import SIDES, warnings_of
from tokxfer.workflows.samples import SAMPLES
from tokxfer.workflows.step_memory import Shape, StepMemory, step_memory
from tokxfer.workflows.template_ends import end_of_turn
from tokxfer.workflows.text import read_documents

if TYPE_CHECKING:
    import torch

# A tokenizer reads its own marks in a text as something else, which is no fault of the pair.
PLAIN = tuple(text for text in SAMPLES if "▁" not in text)
CLASSES = {"digits": b"0123456789", "whitespace": b" \t\n\r"}


@dataclass(frozen=True)
class SideReport:
    """What one side's tokenizer is.

    Attributes:
        name: What the user called it.
        family: Of its tokenizer.
        size: Ids, special ones included, gaps between ids not.
        digits: How it cuts runs of digits.
        changes: The steps that change text before it is tokenized, by their names.
        roles: Names of the tokens for bos, eos, pad and so on, as far as there are any.
        markers: Names of the special tokens of chats.
        template: Whether it brings a chat template.
        end_of_turn: The special token that its template writes behind an answer, or None.
    """

    name: str
    family: str
    size: int
    digits: str
    changes: tuple[str, ...]
    roles: Mapping[str, str]
    markers: tuple[str, ...]
    template: bool
    end_of_turn: str | None


@dataclass(frozen=True)
class DoctorReport:
    """What a teacher and a student will make of one another.

    Attributes:
        teacher: The teacher's tokenizer.
        student: The student's tokenizer.
        figures: How both line up on the text.
        sample: Whether the text is the samples that come with the package.
        lacks: For digits and white space, and each side, the tokens of that class that it lacks and
            the other has.
        memory: What a step will hold; None where the weights of a side
            are not on this machine.
        available: Bytes of memory that are free, on the device if it has its own.
    """

    teacher: SideReport
    student: SideReport
    figures: AlignmentFigures
    sample: bool
    lacks: Mapping[str, Mapping[str, tuple[str, ...]]]
    memory: StepMemory | None
    available: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may go wrong with this pair, a sentence each."""
        return tuple(warnings_of(self))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values: what `--json` prints."""
        body = asdict(self) | {"warnings": list(self.warnings)}
        return body | {"figures": self.figures.to_dict()}


def doctor(
    teacher: str | Path,
    student: str | Path,
    *,
    text: str | Path | Sequence[str | Path] | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    max_length: int = 512,
    device: str = "auto",
    revision: str | None = None,
    student_revision: str | None = None,
    offline: bool = False,
) -> DoctorReport:
    """Look at a teacher and a student before training: tokenizers and sizes, no weights.

    Args:
        teacher: Model folder, tokenizer folder, `tokenizer.json` or hub name of the teacher.
        student: The same of the student.
        text: Files that `read_documents` reads; None takes some samples of many scripts.
        limit: Read this many documents of each file at most.
        batch_size: Rows of a micro-batch, for the estimate of memory.
        max_length: Tokens of a row of the student's, for the same.
        device: Where training is to be: auto, cpu, cuda, cuda:1, mps. On a GPU the teacher keeps
            its own number format.
        revision: Git revision of the teacher, if it is a hub name.
        student_revision: Git revision of the student, if it is a hub name.
        offline: Never ask the model hub.

    Raises:
        TokxferError: A tokenizer or text cannot be read; the sentence says which and why.

    Example:
        >>> import tokxfer as tx
        >>> tx.doctor("models/english-bytebpe", "models/english-spbpe").figures.recall
        1.0
    """
    if batch_size < 1 or max_length < 2:
        raise UsageError("A batch has a row, and a row has two tokens, at least.")
    place_of_training = pick_device(device)
    paths = [text] if isinstance(text, (str, Path)) else list(text or ())
    documents = [one for path in paths for one in read_documents(path, limit)] or list(PLAIN)
    names, revisions = (str(teacher), str(student)), (revision, student_revision)
    places = [
        resolve(name, revision=wanted, offline=offline, weights=False)[0]
        for name, wanted in zip(names, revisions, strict=True)
    ]
    vocabularies = [read(place) for place in places]
    figures = alignment_figures(Aligner(*vocabularies), documents)
    sides = [
        side_report(name, place, vocabulary)
        for name, place, vocabulary in zip(names, places, vocabularies, strict=True)
    ]
    shapes = [shape_of(place) for place in places]
    memory = None
    if shapes[0] is not None and shapes[1] is not None:
        ratio = figures.tokens["teacher"] / max(figures.tokens["student"], 1)
        memory = step_memory(
            shapes[0], shapes[1], rows=batch_size, tokens=max_length, ratio=ratio,
            stored=place_of_training.type != "cpu",
        )  # fmt: skip
    return DoctorReport(
        teacher=sides[0],
        student=sides[1],
        figures=figures,
        sample=not paths,
        lacks={name: lacking(vocabularies, letters) for name, letters in CLASSES.items()},
        memory=memory,
        available=free_memory(place_of_training),
    )


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device, or in main memory where it has none of its own."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def shape_of(place: Path) -> Shape | None:
    """A model's measures; None of a bare tokenizer."""
    if not place.is_dir() or not (place / "config.json").is_file():
        return None
    if not list(place.glob("*.safetensors")):
        return None
    return Shape.of(ModelFolder.open(place))


def side_report(name: str, place: Path, vocabulary: ByteVocabulary) -> SideReport:
    """What one side's tokenizer is."""
    names, roles = vocabulary.names, vocabulary.roles
    template, ends = end_of_turn(place, vocabulary)
    return SideReport(
        name=name,
        family=vocabulary.family,
        size=vocabulary.used,
        digits=vocabulary.digits,
        changes=tuple(changes(vocabulary)),
        roles={role: names[roles[role]] for role in ROLES if role in roles},
        markers=tuple(names[token] for role, token in roles.items() if role.startswith("chat:")),
        template=template,
        end_of_turn=ends,
    )


def changes(vocabulary: ByteVocabulary) -> Iterator[str]:
    """The steps by which a tokenizer changes text, in their order."""
    if not vocabulary.normalizes:
        return
    mark = vocabulary.spelling.mark
    for step in components(vocabulary.source.normalizer):
        kind = str(step["type"])
        spaces = kind == "Replace" and step.get("content") == mark
        if kind not in FAITHFUL_NORMALIZERS and not spaces:
            yield kind
    for step in components(vocabulary.source.pre_tokenizer):
        if step["type"] in LOSSY_PRETOKENIZERS or step.get("behavior") == "Removed":
            yield f"{step['type']} (white space is lost)"


def lacking(vocabularies: Sequence[ByteVocabulary], letters: bytes) -> dict[str, tuple[str, ...]]:
    """For each side the tokens, all of some letters, that only the other side has.

    A space before digits does not make them other digits.
    """
    found = []
    for vocabulary in vocabularies:
        tokens = (vocabulary.tokens[token] for token in vocabulary.text_ids.tolist())
        bare = (token if b" " in letters else token.removeprefix(b" ") for token in tokens)
        found.append({token for token in bare if token and not token.strip(letters)})
    return {
        side: tuple(sorted((token.decode() for token in have - own), key=lambda t: (len(t), t)))
        for side, own, have in zip(SIDES, found, found[::-1], strict=True)
    }
