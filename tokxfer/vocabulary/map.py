"""`VocabularyMap`: every row of a new matrix as a weighted sum of rows of an old one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Origin(IntEnum):
    """How a row came about."""

    COPIED = 0  # the row of the same bytes
    ROLE = 1  # the row of the special token of the same role
    PIECES = 2  # the row's own pieces in the source vocabulary
    OMP = 3  # a sparse combination found by matching pursuit
    NEIGHBOURS = 4  # a mean of near rows
    MEAN = 5  # the mean row; no weights
    OUTSIDE = 6  # a row given beside the map; no weights
    PADDING = 7  # a row of no id; no weights
    MIXED = 8  # pieces and near rows together


@dataclass(frozen=True, eq=False)
class VocabularyMap:
    """A sparse matrix [rows, source_size] in compressed rows, with the origin of every row.

    Attributes:
        source_size: Rows of the matrix that the map is applied to.
        indptr: [rows + 1] where each row's entries begin, int64.
        indices: [entries] source rows, int64; one may occur twice in a row, weights then add up.
        weights: [entries] float32.
        origins: [rows] `Origin`, uint8.
        mean_weights: [rows] weight of the source's mean row in each row, float32, beside the
            entries; by default 0. (A row of origin MEAN is the mean row itself, whatever it says.)
    """

    source_size: int
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    origins: npt.NDArray[np.uint8]
    mean_weights: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.mean_weights is None:
            object.__setattr__(self, "mean_weights", np.zeros(len(self.origins)))
        for name, dtype in (
            ("indptr", np.int64),
            ("indices", np.int64),
            ("weights", np.float32),
            ("origins", np.uint8),
            ("mean_weights", np.float32),
        ):
            array = np.array(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.indptr) != len(self.origins) + 1:
            raise ValueError(f"{len(self.origins)} rows need as many starts and one end")
        if len(self.means) != len(self.origins):
            raise ValueError(f"{len(self.origins)} rows need as many weights of the mean")
        ends = (self.indptr[0], self.indptr[-1]) == (0, len(self.indices))
        if not ends or (np.diff(self.indptr) < 0).any() or len(self.weights) != len(self.indices):
            raise ValueError("row starts, indices and weights do not fit together")
        if (
            len(self.indices)
            and not 0 <= self.indices.min() <= self.indices.max() < self.source_size
        ):
            raise ValueError(f"an index is outside the {self.source_size} source rows")

    @classmethod
    def from_rows(
        cls,
        source_size: int,
        rows: Iterable[tuple[Sequence[int], Sequence[float], Origin]],
    ) -> VocabularyMap:
        """Build a map from (source rows, weights, origin) per row."""
        indices: list[int] = []
        weights: list[float] = []
        origins: list[int] = []
        indptr = [0]
        for ids, shares, origin in rows:
            if len(ids) != len(shares):
                raise ValueError(f"a row has {len(ids)} source rows and {len(shares)} weights")
            indices.extend(ids)
            weights.extend(shares)
            origins.append(origin)
            indptr.append(len(indices))
        return cls(
            source_size,
            np.array(indptr, dtype=np.int64),
            np.array(indices, dtype=np.int64),
            np.array(weights, dtype=np.float32),
            np.array(origins, dtype=np.uint8),
        )

    @classmethod
    def copies(
        cls, source_size: int, source_ids: npt.ArrayLike, origin: Origin = Origin.COPIED
    ) -> VocabularyMap:
        """A map whose every row is one source row, weight 1.

        Args:
            source_size: Rows of the source.
            source_ids: [rows] which one each row takes.
            origin: The origin of all rows.
        """
        ids = np.asarray(source_ids, dtype=np.int64)
        return cls(
            source_size,
            np.arange(len(ids) + 1, dtype=np.int64),
            ids,
            np.ones(len(ids), dtype=np.float32),
            np.full(len(ids), origin, dtype=np.uint8),
        )

    @property
    def means(self) -> npt.NDArray[np.float32]:
        """[rows] weight of the mean row in each row."""
        assert self.mean_weights is not None
        return self.mean_weights

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.origins)

    def row(self, place: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Source rows and weights of one row."""
        if not 0 <= place < self.rows:
            raise IndexError(f"row {place} of {self.rows}")
        entries = slice(self.indptr[place], self.indptr[place + 1])
        return self.indices[entries], self.weights[entries]

    def take(self, places: npt.ArrayLike) -> VocabularyMap:
        """The map of some rows, in the order given; a row may be taken twice."""
        order = np.asarray(places, dtype=np.int64)
        lengths = np.diff(self.indptr)[order]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.repeat(self.indptr[order] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return VocabularyMap(
            self.source_size, indptr, self.indices[entries], self.weights[entries],
            self.origins[order], self.means[order],
        )  # fmt: skip

    def stack(self, other: VocabularyMap) -> VocabularyMap:
        """This map's rows followed by another's over the same source."""
        if self.source_size != other.source_size:
            raise ValueError(f"{self.source_size} source rows here, {other.source_size} there")
        return VocabularyMap(
            self.source_size,
            np.concatenate([self.indptr, other.indptr[1:] + self.indptr[-1]]),
            np.concatenate([self.indices, other.indices]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.origins, other.origins]),
            np.concatenate([self.means, other.means]),
        )

    def replace(self, row_ids: npt.ArrayLike, other: VocabularyMap) -> VocabularyMap:
        """The same map with the rows `row_ids` taken from `other`, in its order."""
        places = np.asarray(row_ids, dtype=np.int64)
        if len(places) != other.rows:
            raise ValueError(f"{len(places)} rows to replace, {other.rows} given")
        order = np.arange(self.rows)
        order[places] = self.rows + np.arange(other.rows)
        return self.stack(other).take(order)

    def counts(self) -> dict[str, int]:
        """Number of rows by the lower-case name of their origin, those that occur."""
        found = np.bincount(self.origins, minlength=len(Origin))
        return {origin.name.lower(): int(found[origin]) for origin in Origin if found[origin]}
