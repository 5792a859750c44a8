"""Where a model keeps the rows of its vocabulary.

The answer comes from the model itself: its class is built on the meta device, which costs no
memory, and asked for its input and output embeddings; the parameters they are decide the names. A
second skeleton with one more token shows every other parameter that grows with the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.completeness import check_body, wrong_shape
from tokxfer.checkpoints.folder import ModelFolder, text_config
from tokxfer.checkpoints.hashing import tensor_hash
from tokxfer.checkpoints.skeletons import (
    CAUSAL_ONLY,
    build,
    is_headless,
    parameter_shapes,
    skeleton,
)
from tokxfer.errors import FolderError, UnsupportedError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class EmbeddingLayout:
    """The tensors that have one row per token.

    Attributes:
        input: Name of the input matrix [rows, dim].
        output: Name of the output matrix [rows, dim], or None when it is the input matrix, or when
            there is none.
        bias: Name of the head's bias [rows], or None.
        tied: Whether input and output are one matrix when the model is loaded.
        rows: Rows of the matrices, padding included.
        dim: Width of the input matrix.
        other: Every other tensor whose shape depends on the vocabulary, or may.
        redundant: Stored copies of the tied matrix, which are not written again.
        architecture: The class that the plain Auto class gives.
        counted_from: The id of padding from which positions are counted, as in RoBERTa; None where
            they do not depend on ids.
        head: The model's own name for the output matrix, also where that is the input matrix; ""
            without a head.
    """

    input: str
    output: str | None
    bias: str | None
    tied: bool
    rows: int
    dim: int
    other: tuple[str, ...] = ()
    redundant: tuple[str, ...] = ()
    architecture: str = ""
    counted_from: int | None = None
    head: str = ""

    @property
    def headless(self) -> bool:
        """Whether there is no output matrix at all: an encoder."""
        return self.output is None and not self.tied


@dataclass(frozen=True)
class Located:
    """What was found before anything is judged.

    Attributes:
        model: The skeleton.
        shapes: Shape by name of every parameter of the skeleton.
        parameters: Names in the skeleton of the input matrix, the output matrix and the head's bias
            (empty without one: encoders have neither of the last two).
        stored: Names in the weight files of the same three; None where there is none.
        tied: Whether config and architecture make input and output one matrix.
        equal: Whether both are stored with the same content; None unless both are stored and tied.
        aliases: Every name in the skeleton that means one of the three.
    """

    model: PreTrainedModel
    shapes: Mapping[str, tuple[int, ...]]
    parameters: tuple[str, str, str]
    stored: tuple[str | None, str | None, str | None]
    tied: bool
    equal: bool | None
    aliases: frozenset[str]


def locate(folder: ModelFolder) -> Located:
    """Match the skeleton's embeddings and head with the stored tensors.

    Raises:
        FolderError: The config makes no sense to transformers.
        UnsupportedError: The architecture is unknown here, or has no embeddings and head.
    """
    model = skeleton(folder.path, trust_remote_code=folder.trust_remote_code)
    shapes = parameter_shapes(model)
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    headless = outer is None and is_headless(model)
    plain = [getattr(part, "weight", None) for part in ((inner,) if headless else (inner, outer))]
    if any(weight is None for weight in plain):
        raise UnsupportedError(
            f"{folder.name} ({type(model).__name__}) has no plain input and output embeddings.",
            CAUSAL_ONLY,
        )
    names = _names_of(model)
    bias = getattr(outer, "bias", None)
    parameters = (
        _weight_name(model, inner),
        "" if headless else _weight_name(model, outer),
        names[id(bias)][0] if bias is not None else "",
    )
    tied = not headless and inner.weight is outer.weight
    search = _Search(folder, shapes)
    stored = (
        search.find(parameters[0], only_left=not tied),
        None if headless else search.find(parameters[1], only_left=not tied),
        search.find(parameters[2], only_left=True) if bias is not None else None,
    )
    equal = None
    if tied and stored[0] and stored[1]:
        equal = tensor_hash(folder.tensors[stored[0]]) == tensor_hash(folder.tensors[stored[1]])
    aliases = {name for p in (*plain, bias) for name in names.get(id(p), ())}
    return Located(model, shapes, parameters, stored, tied, equal, frozenset(aliases))


def find_layout(folder: ModelFolder) -> EmbeddingLayout:
    """Find the vocabulary's tensors of a folder; see `ModelFolder.embeddings`."""
    found = locate(folder)
    inner, outer, bias = found.stored
    tied = found.tied and found.equal is not False  # transformers ties equal matrices only
    if tied:
        inner = inner or outer
    if inner is None:
        raise FolderError(
            f"{folder.name} has no tensor for the input embeddings ({found.parameters[0]}).",
            "Download the model again.",
        )
    if not tied and outer is None and found.parameters[1]:
        raise FolderError(
            f"{folder.name} says that its embeddings are not tied, but has no output matrix "
            f"({found.parameters[1]}): loaded as it is, its head would be random.",
            'Set "tie_word_embeddings": true in its config.json if the head is the input matrix.',
        )
    rows, dim = folder.tensors[inner].shape
    expected = found.shapes[found.parameters[0]][0]
    if rows != expected:
        raise FolderError(
            f"config.json of {folder.name} says vocab_size {expected:,}, but {inner} has "
            f"{rows:,} rows.",
            "Correct vocab_size: transformers cannot load the folder as it is.",
        )
    for parameter, stored in zip(found.parameters, (inner, outer, bias), strict=True):
        shape = folder.tensors[stored].shape if stored else ()
        if stored and shape != found.shapes[parameter]:
            raise wrong_shape(folder.name, stored, shape, found.shapes[parameter])
    check_body(folder.name, found, folder.tensors)
    grown = _grown(found.model.config, found.shapes, type(found.model)) - found.aliases
    if found.parameters[2] and bias is None:
        grown.add(found.parameters[2])
    unnamed = unexplained(folder, found, rows)
    return EmbeddingLayout(
        input=inner,
        output=None if tied else outer,
        bias=bias,
        tied=tied,
        rows=rows,
        dim=dim,
        other=tuple(sorted(grown | unnamed)),
        redundant=(outer,) if tied and outer and outer != inner else (),
        architecture=type(found.model).__name__,
        counted_from=_padding_of_positions(found.model),
        head=found.parameters[1],
    )


def unexplained(folder: ModelFolder, found: Located, rows: int) -> set[str]:
    """Stored tensors with an axis as long as the vocabulary that the model does not name."""
    text = text_config(folder.config)
    if any(v == rows for k, v in text.items() if isinstance(v, int) and "vocab" not in k):
        return set()  # the number means something else as well: shapes tell nothing
    return {
        name
        for name, info in folder.tensors.items()
        if rows in info.shape and name not in found.stored and name not in found.shapes
    }


class _Search:
    """Finds the stored name of a parameter: older files and some formats use other prefixes."""

    def __init__(self, folder: ModelFolder, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.folder = folder
        self.shapes = shapes
        self.taken: set[str] = set()

    def find(self, name: str, *, only_left: bool) -> str | None:
        """The stored tensor that becomes this parameter when loaded; None if none does.

        The same name wins; else, among tensors of this shape that are no other parameter, the one
        whose dotted name ends alike (`embed_tokens.weight`); else, if `only_left`, the only one.
        """
        found = name if name in self.folder.tensors else self._alike(name, only_left)
        if found is not None:
            self.taken.add(found)
        return found

    def _alike(self, name: str, only_left: bool) -> str | None:
        others = self.shapes.keys() | self.taken
        candidates = [
            stored
            for stored, info in self.folder.tensors.items()
            if stored not in others and info.shape == self.shapes[name]
        ]
        alike = [stored for stored in candidates if _common_end(stored, name) >= 2]
        for left in (alike, candidates if only_left else []):
            if len(left) == 1:
                return left[0]
        return None


def _common_end(one: str, other: str) -> int:
    count = 0
    for a, b in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if a != b:
            break
        count += 1
    return count


def _weight_name(model: PreTrainedModel, module: Any) -> str:
    for name, each in model.named_modules(remove_duplicate=False):
        if each is module:
            return f"{name}.weight"
    raise UnsupportedError(f"{type(model).__name__} does not hold its own embeddings.", CAUSAL_ONLY)


def _padding_of_positions(model: PreTrainedModel) -> int | None:
    """The padding id of a table of positions: such a model counts positions from it."""
    inner = model.get_input_embeddings()
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if module is not inner and name.endswith("position_embeddings") and padding is not None:
            return int(padding)
    return None


def _names_of(model: PreTrainedModel) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


def _grown(
    config: PreTrainedConfig,
    shapes: Mapping[str, tuple[int, ...]],
    kind: type[PreTrainedModel],
) -> set[str]:
    """The parameters whose shape changes when every vocabulary size in the config grows by one."""
    import copy

    larger = copy.deepcopy(config)
    for settings in {id(s): s for s in (larger, larger.get_text_config())}.values():
        for key, value in list(settings.to_dict().items()):
            if key.startswith("vocab_size") and isinstance(value, int):
                setattr(settings, key, value + 1)
    grown = parameter_shapes(build(kind, larger))
    return {name for name, shape in shapes.items() if grown.get(name) != shape}
