"""Loading models and tokenizers through the plain Auto classes, without noise."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokxfer.errors import FolderError, UnsupportedError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' log, and its progress bars unless stderr is a terminal."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def one_line(failure: BaseException) -> str:
    """What an exception of another package says, on one line of bounded length."""
    text = " ".join(str(failure).split()) or type(failure).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def load_model(
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal model through its plain Auto class, in evaluation mode.

    Args:
        folder: A model folder on this machine.
        dtype: Number format; None takes the one in which it is stored.
        device: Where to put it.
        trust_remote_code: Whether Python code that comes with it may run.

    Raises:
        FolderError: If weights are missing or do not fit the config, so that rows would be random.
        UnsupportedError: If it has no head, and so predicts no text.
    """
    from tokxfer.checkpoints.skeletons import is_headless, load_config, model_class

    path = Path(folder)
    auto = model_class(load_config(path, trust_remote_code=trust_remote_code), path)
    model, report = load_with_report(auto, path, dtype=dtype, trust_remote_code=trust_remote_code)
    missing = sorted(report["missing_keys"])
    if missing:
        raise FolderError(
            f"{path} lacks {len(missing)} tensor(s) of its model, such as {missing[0]}: "
            "they would be random.",
            "Run 'tokxfer validate' on it.",
        )
    if is_headless(model):
        raise UnsupportedError(
            f"{path} is an encoder ({type(model).__name__}): it predicts no text, so there are no "
            "bits per byte.",
            "Compare the sentences' similarities before and after instead.",
        )
    return model.to(device).eval()


def load_with_report(
    auto: Any, path: Path, *, dtype: torch.dtype | None, trust_remote_code: bool
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load a model on the CPU and say which keys were missing or unexpected.

    Raises:
        FolderError: If transformers cannot load it.
    """
    with quiet_transformers():
        try:
            model, report = auto.from_pretrained(
                path,
                dtype=dtype or "auto",
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as failure:
            if type(failure).__name__ == "OutOfMemoryError":
                raise
            raise FolderError(
                f"transformers cannot load {path}: {one_line(failure)}",
                "Run 'tokxfer validate' on it.",
            ) from failure
    return model, dict(report)


def load_tokenizer(
    folder: str | Path, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """Load a folder's tokenizer through AutoTokenizer.

    Raises:
        UnsupportedError: If it is a slow tokenizer, or needs code that was not allowed.
        FolderError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
        except Exception as failure:  # tokenizers raises bare Exception on a file it cannot read
            if "trust_remote_code" in str(failure):
                raise UnsupportedError(
                    f"The tokenizer of {folder} needs Python code that comes with it.",
                    "Read that code, and if you trust it give --trust-remote-code.",
                ) from failure
            raise FolderError(
                f"transformers cannot load the tokenizer of {folder}: {one_line(failure)}",
                "Replace its tokenizer.json and tokenizer_config.json.",
            ) from failure
    if not tokenizer.is_fast:
        raise UnsupportedError(
            f"{folder} has only a slow tokenizer, no tokenizer.json.",
            "Convert it once with AutoTokenizer.from_pretrained(…).save_pretrained(…).",
        )
    return tokenizer
