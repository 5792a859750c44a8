"""Where a model keeps the rows of its vocabulary.

The answer comes from the model itself: its class is built on the meta device, which costs no
memory, and asked for its input and output embeddings; the parameters they are decide the names. A
second skeleton with one more token shows every other parameter that grows with the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.folder import ModelFolder, text_config
from tokxfer.checkpoints.hashing import tensor_hash
from tokxfer.checkpoints.loading import quiet_transformers
from tokxfer.errors import FolderError, UnsupportedError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_CAUSAL = "tokxfer works on causal language models."


@dataclass(frozen=True)
class EmbeddingLayout:
    """The tensors that have one row per token.

    Attributes:
        input: Name of the input matrix [rows, dim].
        output: Name of the output matrix [rows, dim], or None when it is the input matrix.
        bias: Name of the head's bias [rows], or None.
        tied: Whether input and output are one matrix when the model is loaded.
        rows: Rows of the matrices, padding included.
        dim: Width of the input matrix.
        other: Every other tensor whose shape depends on the vocabulary, or may.
        redundant: Stored copies of the tied matrix, which are not written again.
    """

    input: str
    output: str | None
    bias: str | None
    tied: bool
    rows: int
    dim: int
    other: tuple[str, ...] = ()
    redundant: tuple[str, ...] = ()


def find_layout(folder: ModelFolder) -> EmbeddingLayout:
    """Find the vocabulary's tensors of a folder; see `ModelFolder.embeddings`."""
    config = load_config(folder.path, trust_remote_code=folder.trust_remote_code)
    model = skeleton(folder.path, trust_remote_code=folder.trust_remote_code)
    shapes = parameter_shapes(model)
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    if getattr(inner, "weight", None) is None or getattr(outer, "weight", None) is None:
        raise UnsupportedError(
            f"{folder.name} ({type(model).__name__}) has no plain input and output embeddings.",
            _CAUSAL,
        )
    names = _names_of(model)
    in_memory = _weight_name(model, inner), _weight_name(model, outer)
    tied = inner.weight is outer.weight
    search = _Search(folder, shapes)
    input_name = search.find(in_memory[0], only_left=not tied)
    output_name = search.find(in_memory[1], only_left=not tied)
    redundant: tuple[str, ...] = ()
    if tied and input_name and output_name:
        # transformers ties the two only if they are equal
        same = _equal(folder, input_name, output_name)
        tied, redundant = same, (output_name,) if same else ()
    elif tied:
        input_name = input_name or output_name
    if input_name is None:
        raise FolderError(
            f"{folder.name} has no tensor for the input embeddings ({in_memory[0]}).",
            "Download the model again.",
        )
    if not tied and output_name is None:
        raise FolderError(
            f"{folder.name} says that its embeddings are not tied, but has no output matrix "
            f"({in_memory[1]}): loaded as it is, its head would be random.",
            'Set "tie_word_embeddings": true in its config.json if the head is the input matrix.',
        )
    bias = None
    if getattr(outer, "bias", None) is not None:
        bias = search.find(names[id(outer.bias)][0], only_left=True)
    rows, dim = folder.tensors[input_name].shape
    _check_rows(folder, input_name, rows, shapes[in_memory[0]][0])
    known = {input_name, output_name, bias, *redundant} - {None}
    grown = _grown(config, shapes, type(model))
    for parameter in (inner.weight, outer.weight, outer.bias if bias else None):
        grown -= set(names.get(id(parameter), ()))
    return EmbeddingLayout(
        input=input_name,
        output=None if tied else output_name,
        bias=bias,
        tied=tied,
        rows=rows,
        dim=dim,
        other=tuple(sorted(grown | search.unexplained(rows, known))),
        redundant=redundant,
    )


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

    def unexplained(self, rows: int, known: set[str | None]) -> set[str]:
        """Stored tensors with an axis as long as the vocabulary that the model does not name."""
        text = text_config(self.folder.config)
        if any(v == rows for k, v in text.items() if isinstance(v, int) and "vocab" not in k):
            return set()  # the number means something else as well: shapes tell nothing
        return {
            name
            for name, info in self.folder.tensors.items()
            if rows in info.shape and name not in known and name not in self.shapes
        }


def _common_end(one: str, other: str) -> int:
    count = 0
    for a, b in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if a != b:
            break
        count += 1
    return count


def _check_rows(folder: ModelFolder, name: str, stored: int, expected: int) -> None:
    if stored != expected:
        raise FolderError(
            f"config.json of {folder.name} says vocab_size {expected:,}, but {name} has "
            f"{stored:,} rows.",
            "Correct vocab_size: transformers cannot load the folder as it is.",
        )


def _weight_name(model: PreTrainedModel, module: Any) -> str:
    for name, each in model.named_modules(remove_duplicate=False):
        if each is module:
            return f"{name}.weight"
    raise UnsupportedError(f"{type(model).__name__} does not hold its own embeddings.", _CAUSAL)


def _equal(folder: ModelFolder, one: str, other: str) -> bool:
    return tensor_hash(folder.tensors[one]) == tensor_hash(folder.tensors[other])


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
    grown = parameter_shapes(_build(kind, larger))
    return {name for name, shape in shapes.items() if grown.get(name) != shape}


def parameter_shapes(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter and saved buffer, tied ones under each of their names."""
    tensors = {**dict(model.named_parameters(remove_duplicate=False)), **model.state_dict()}
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def load_config(path: Path, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """The transformers config of a folder.

    Raises:
        UnsupportedError: If the model needs its own Python code, which was not allowed, or is of a
            type that this version of transformers does not know.
        FolderError: If config.json makes no sense to transformers.
    """
    from transformers import AutoConfig

    with quiet_transformers():
        try:
            return AutoConfig.from_pretrained(
                path, trust_remote_code=trust_remote_code, local_files_only=True
            )
        except (ValueError, KeyError, TypeError, OSError, ImportError) as failure:
            raise _explained(path, failure) from failure


def _explained(path: Path, failure: Exception) -> FolderError | UnsupportedError:
    text = str(failure)
    if "trust_remote_code" in text:
        return UnsupportedError(
            f"{path} needs Python code that comes with it.",
            "Read that code, and if you trust it give --trust-remote-code.",
        )
    if "does not recognize this architecture" in text or "model type" in text:
        import transformers

        return UnsupportedError(
            f"transformers {transformers.__version__} does not know the model type of {path}.",
            "Update transformers.",
        )
    return FolderError(
        f"config.json of {path} cannot be read by transformers: {text.strip().splitlines()[0]}",
        "Repair or replace it.",
    )


def model_class(config: PreTrainedConfig, path: Path) -> Any:
    """The plain Auto class that loads a causal model with this config.

    Raises:
        UnsupportedError: If the config names an architecture without a causal head.
    """
    import transformers

    causal, nested = transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText
    mappings = (
        (causal, transformers.MODEL_FOR_CAUSAL_LM_MAPPING),
        (nested, transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
    )
    named = (config.architectures or [None])[0]
    if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        return causal
    for auto, mapping in mappings:
        if type(config) in mapping:
            kinds = mapping[type(config)]
            kinds = kinds if isinstance(kinds, tuple) else (kinds,)
            if named is None or named in {kind.__name__ for kind in kinds}:
                return auto
    raise UnsupportedError(
        f"{path} is a {named or config.model_type}, not a causal language model.", _CAUSAL
    )


def skeleton(path: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model of a folder on the meta device: names, shapes and ties, but no numbers.

    Raises:
        UnsupportedError: If it is no causal language model, or needs code that was not allowed.
        FolderError: If its config makes no sense.
    """
    config = load_config(path, trust_remote_code=trust_remote_code)
    auto = model_class(config, path)
    try:
        return _build(auto, config, trust_remote_code=trust_remote_code)
    except (ValueError, KeyError, TypeError, ImportError, ZeroDivisionError) as failure:
        raise _explained(path, failure) from failure


def _build(kind: Any, config: PreTrainedConfig, **options: Any) -> PreTrainedModel:
    import torch

    with torch.device("meta"), quiet_transformers():
        if hasattr(kind, "from_config"):
            return kind.from_config(config, **options)
        return kind._from_config(config)
