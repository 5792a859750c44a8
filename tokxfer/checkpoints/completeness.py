"""Whether the stored tensors are those that the model's class wants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokxfer.errors import FolderError

if TYPE_CHECKING:
    from tokxfer.checkpoints.layout import Located
    from tokxfer.checkpoints.tensorfiles import TensorInfo

HINT = "Download the model again, or correct its config.json."


def check_body(name: str, located: Located, tensors: Mapping[str, TensorInfo]) -> None:
    """Raise if a tensor outside the embeddings is not stored, or not in the shape of its class.

    Some formats store a tensor under another name, or split, and transformers converts them while
    loading. So a tensor counts as missing only when those stored under unknown names hold too few
    numbers to make up for all that are absent.

    Args:
        name: The folder as its user calls it.
        located: Its skeleton, and where its embeddings are.
        tensors: What is stored.

    Raises:
        FolderError: Loaded as it is, a part of the model would be random, or loading would fail.
    """
    body = located.shapes.keys() - {*located.parameters} - located.aliases
    for each in sorted(body & tensors.keys()):
        if tensors[each].shape != located.shapes[each]:
            raise wrong_shape(name, each, tensors[each].shape, located.shapes[each])
    missing = body - tensors.keys()
    unknown = tensors.keys() - located.shapes.keys() - {*located.stored}
    wanted = sum(math.prod(located.shapes[each]) for each in missing)
    if wanted > sum(math.prod(tensors[each].shape) for each in unknown):
        raise FolderError(
            f"{len(missing)} tensor(s) of {name} are not stored, such as {min(missing)}: loaded as "
            "it is, they would be random.",
            HINT,
        )


def wrong_shape(
    name: str, tensor: str, found: tuple[int, ...], expected: tuple[int, ...]
) -> FolderError:
    """The failure of a tensor that does not fit its model's config."""
    return FolderError(
        f"{tensor} of {name} has the shape {list(found)}, but its config.json asks for "
        f"{list(expected)}.",
        HINT,
    )
