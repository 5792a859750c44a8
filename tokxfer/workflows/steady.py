"""Vectors of texts that do not depend on what the texts are encoded beside.

Matrix products round otherwise for other shapes, so that in single precision a text's vector
changes in its last bits with the texts beside it and with the number of threads, and after rounding
to float16 that shows. The error of double precision is some ten orders below float16's.
"""

from __future__ import annotations

from typing import Any

BATCH = 32  # texts encoded at a time; more gain nothing on a processor
LARGE = 2**30  # weights; beyond that doubles take too much memory


def steady(model: Any) -> int:
    """Make an encoder steady; the number of texts that it may take at a time from then on.

    It computes in double precision; on the CPU where its device has none. One that is too large
    for that, or does not work in it, stays as it is and takes texts one by one, without padding.

    Args:
        model: A loaded SentenceTransformer; it is changed.
    """
    if sum(weights.numel() for weights in model.parameters()) > LARGE:
        return 1
    if model.device.type == "mps":
        model.to("cpu")
    try:
        model.double().encode(["a"], show_progress_bar=False)
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError):
        model.float()
        return 1
    return BATCH
