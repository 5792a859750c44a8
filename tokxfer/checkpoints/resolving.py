"""From what the user typed to a folder on this machine: a path, or a name on the model hub."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tokxfer.checkpoints.loading import one_line
from tokxfer.errors import FolderError, UsageError

WANTED = ["*.json", "*.safetensors", "*.jinja", "*.py", "README.md", "LICENSE*", "NOTICE*"]
"""The files fetched from the hub: configs, weights, tokenizers, templates; cards; never pickles."""
TOKENIZER_ONLY = [
    "tokenizer*.json",
    "special_tokens_map.json",
    "config.json",
    "*.jinja",
    "generation_config.json",
    "README.md",
]
"""The files fetched when only a tokenizer is needed."""


def resolve(
    name: str | Path,
    *,
    revision: str | None = None,
    offline: bool = False,
    weights: bool = True,
) -> tuple[Path, str | None]:
    """Find a folder or file, fetching it from the hub only if no such path exists here.

    Args:
        name: A path, or a hub name such as "org/model".
        revision: Branch, tag or commit of a hub name.
        offline: Take what the hub's cache on this machine has; never ask the network.
        weights: Whether weights are wanted, or the tokenizer alone.

    Returns:
        The path, and the commit when it came from the hub.

    Raises:
        FolderError: If there is neither such a path nor such a model.
        UsageError: If a revision is given for a local path.
    """
    path = Path(name).expanduser()
    if path.exists():
        if revision is not None:
            raise UsageError(
                f"A revision ({revision}) was given, but {name} is a path on this machine.",
                "Leave --revision out, or give the name of a model on the hub.",
            )
        return path, None
    if not _may_be_hub_name(str(name)):
        raise _missing(path)
    return _fetch(str(name), path, revision, offline, weights)


def _may_be_hub_name(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+|gpt2", name))


def _missing(path: Path) -> FolderError:
    set_aside = sorted(path.parent.glob(f".{path.name}.previous-*")) if path.name else []
    if set_aside:
        return FolderError(
            f"{path} does not exist; an interrupted run left its previous copy at {set_aside[0]}.",
            f"Rename it back: mv {set_aside[0]} {path}",
        )
    return FolderError(f"{path} does not exist.", "Check the path.")


def _fetch(
    name: str, path: Path, revision: str | None, offline: bool, weights: bool
) -> tuple[Path, str | None]:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = offline or constants.HF_HUB_OFFLINE
    patterns = WANTED if weights else TOKENIZER_ONLY
    where = f"{name} at revision {revision}" if revision else name
    try:
        with _quiet_downloads():
            found = snapshot_download(
                name, revision=revision, allow_patterns=patterns, local_files_only=offline
            )
    except GatedRepoError:
        raise FolderError(
            f"{name} is gated on the hub.",
            f"Accept its terms at https://huggingface.co/{name} and log in with 'hf auth login'.",
        ) from None
    except RevisionNotFoundError:
        raise FolderError(
            f"{name} has no revision {revision} on the hub.", "Check --revision."
        ) from None
    except RepositoryNotFoundError:
        raise FolderError(
            f"{path} does not exist, and the hub has no model of that name that you may read.",
            "Check the path or the name; for a private model log in with 'hf auth login'.",
        ) from None
    except LocalEntryNotFoundError:
        if offline:
            raise FolderError(
                f"{path} does not exist, and {where} is not in the hub's cache on this machine.",
                "Check the path, or go online (no --offline, no HF_HUB_OFFLINE) to fetch it.",
            ) from None
        raise FolderError(
            f"{path} does not exist, and the hub cannot be reached to look for {where}.",
            "Check the path, or the network.",
        ) from None
    except Exception as failure:  # those of the client and of its transport have no common base
        raise FolderError(
            f"{where} could not be fetched from the hub: {one_line(failure)}",
            "Check the network and the space on the disk, and run the command again.",
        ) from None
    folder = Path(found)
    return folder, folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else revision


@contextlib.contextmanager
def _quiet_downloads() -> Iterator[None]:
    """Show download bars on a terminal only."""
    from huggingface_hub import utils

    if sys.stderr.isatty() or utils.are_progress_bars_disabled():  # type: ignore[attr-defined]
        yield
        return
    utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        utils.enable_progress_bars()  # type: ignore[attr-defined]
