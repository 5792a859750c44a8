"""Models without numbers: a folder's class built on the meta device.

A skeleton has the names, shapes and ties of the loaded model and takes no memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.checkpoints.loading import one_line, quiet_transformers
from tokxfer.errors import FolderError, UnsupportedError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_UNBUILDABLE = (
    ValueError, KeyError, TypeError, ImportError, ZeroDivisionError, AssertionError, RuntimeError,
    AttributeError,
)  # fmt: skip
CAUSAL_ONLY = "tokxfer works on causal language models, and on encoders without a head."


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
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    wrong = (ValueError, KeyError, TypeError, OSError, ImportError, StrictDataclassError)
    with quiet_transformers():
        try:
            return AutoConfig.from_pretrained(
                path, trust_remote_code=trust_remote_code, local_files_only=True
            )
        except wrong as failure:
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
        f"config.json of {path} cannot be read by transformers: {one_line(failure)}",
        "Repair or replace it.",
    )


def model_class(config: PreTrainedConfig, path: Path) -> Any:
    """The plain Auto class that loads a model with this config: causal, or without any head.

    Raises:
        UnsupportedError: If the config names an architecture with a head for another task.
    """
    import transformers

    causal, nested = transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText
    mappings = (
        (causal, transformers.MODEL_FOR_CAUSAL_LM_MAPPING),
        (nested, transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
        (transformers.AutoModel, transformers.MODEL_MAPPING),
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
        f"{path} is a {named or config.model_type}, not a causal language model.", CAUSAL_ONLY
    )


def is_headless(model: PreTrainedModel) -> bool:
    """Whether a model is the bare body that AutoModel gives, as encoders of sentences are."""
    import transformers

    kinds = transformers.MODEL_MAPPING.get(type(model.config), ())
    return type(model) in (kinds if isinstance(kinds, tuple) else (kinds,))


def skeleton(path: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model of a folder on the meta device: names, shapes and ties, but no numbers.

    Raises:
        UnsupportedError: If it has a head for another task, or needs code that was not allowed.
        FolderError: If its config makes no sense.
    """
    config = load_config(path, trust_remote_code=trust_remote_code)
    auto = model_class(config, path)
    try:
        return build(auto, config, trust_remote_code=trust_remote_code)
    except _UNBUILDABLE as failure:
        raise _explained(path, failure) from failure


def build(kind: Any, config: PreTrainedConfig, **options: Any) -> PreTrainedModel:
    """A model on the meta device, from an Auto class or a model class."""
    import torch

    with torch.device("meta"), quiet_transformers():
        if hasattr(kind, "from_config"):
            return kind.from_config(config, **options)
        return kind._from_config(config)
