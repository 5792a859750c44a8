"""Applying a `VocabularyMap`: from the base's rows to the new vocabulary's."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from tokxfer.shapes import Float
from tokxfer.vocabulary import ByteVocabulary, Kind, Origin, VocabularyMap


def apply_map(
    map: VocabularyMap,
    rows: Float[torch.Tensor, "base_tokens dim"],
    *,
    mean: Float[torch.Tensor, " dim"],
    outside: Float[torch.Tensor, "new_tokens dim"] | None = None,
) -> Float[torch.Tensor, "new_tokens dim"]:
    """The new rows [new tokens, dim], in the dtype and on the device of `rows`.

    Copied rows are taken bit for bit; combinations are summed in float32 and rounded once.

    Args:
        map: Over the rows of `rows`, one row per new token.
        rows: The base's matrix.
        mean: The row for tokens of origin MEAN or PADDING.
        outside: Rows for tokens of origin OUTSIDE, at the tokens' own places; None without any.
    """
    device = rows.device
    indices = torch.tensor(map.indices, device=device)
    starts = torch.tensor(map.indptr[:-1], device=device)
    weights = torch.tensor(map.weights, device=device)
    new = functional.embedding_bag(
        indices, rows.float(), starts, per_sample_weights=weights, mode="sum"
    )
    new = torch.addcmul(new, torch.tensor(map.means, device=device)[:, None], mean).to(rows.dtype)
    origins = map.origins
    place = _places(np.isin(origins, (Origin.MEAN, Origin.PADDING)), device)
    new[place] = mean.to(rows.dtype)
    if outside is not None:
        place = _places(origins == Origin.OUTSIDE, device)
        new[place] = outside[place].to(rows.dtype)
    copied = np.isin(origins, (Origin.COPIED, Origin.ROLE))
    place = _places(copied, device)
    sources = torch.from_numpy(map.indices[map.indptr[:-1][copied]]).to(device)
    new[place] = rows[sources]
    return new


def mean_row(
    rows: Float[torch.Tensor, "base_tokens dim"], vocabulary: ByteVocabulary
) -> Float[torch.Tensor, " dim"]:
    """The mean in float32 of the rows of ordinary tokens; specials and padding left out."""
    return trained_rows(rows, vocabulary).float().mean(dim=0)


def trained_rows(
    rows: Float[torch.Tensor, "base_tokens dim"], vocabulary: ByteVocabulary
) -> Float[torch.Tensor, "ordinary dim"]:
    """The rows of ordinary tokens; all rows where a vocabulary has none."""
    kinds = vocabulary.kinds[: len(rows)]
    place = _places(~np.isin(kinds, (Kind.SPECIAL, Kind.UNUSED)), rows.device)
    return rows[place] if len(place) else rows


def _places(mask: np.ndarray[tuple[int], np.dtype[np.bool_]], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(mask)).to(device)
