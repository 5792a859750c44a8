"""`VocabularyMap` against dense matrices."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokxfer.vocabulary import Origin, VocabularyMap

SOURCE = 7
ROWS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, SOURCE - 1), st.integers(-8, 8)), max_size=4),
        st.sampled_from(list(Origin)),
    ),
    max_size=6,
)
checked = settings(deadline=None, derandomize=True, max_examples=100)


def build(rows: list) -> VocabularyMap:
    """A map with a weight of the mean that tells rows apart."""
    mapped = VocabularyMap.from_rows(
        SOURCE,
        [([i for i, _ in row], [float(w) for _, w in row], origin) for row, origin in rows],
    )
    means = [len(row) + 0.5 * origin for row, origin in rows]
    return dataclasses.replace(mapped, mean_weights=np.array(means, dtype=np.float32))


def dense(mapped: VocabularyMap) -> npt.NDArray[np.float32]:
    """The weights as a matrix, those of the mean row in its last column."""
    matrix = np.zeros((mapped.rows, mapped.source_size + 1), dtype=np.float32)
    matrix[:, -1] = mapped.means
    for place in range(mapped.rows):
        for index, weight in zip(*mapped.row(place), strict=True):
            matrix[place, index] += weight
    return matrix


@given(rows=ROWS)
@checked
def test_rows_come_back_as_they_were_given(rows: list) -> None:
    mapped = build(rows)
    assert mapped.rows == len(rows)
    for place, (row, origin) in enumerate(rows):
        indices, weights = mapped.row(place)
        assert indices.tolist() == [i for i, _ in row]
        assert weights.tolist() == [w for _, w in row]
        assert mapped.origins[place] == origin


@given(first=ROWS, second=ROWS)
@checked
def test_stacking_is_stacking_matrices(first: list, second: list) -> None:
    both = build(first).stack(build(second))
    assert np.array_equal(dense(both), np.vstack([dense(build(first)), dense(build(second))]))
    assert both.origins.tolist() == [origin for _, origin in first + second]


@given(rows=ROWS.filter(bool), seed=st.integers(0, 99))
@checked
def test_taking_rows_is_indexing_a_matrix(rows: list, seed: int) -> None:
    places = np.random.default_rng(seed).integers(0, len(rows), size=5)
    taken = build(rows).take(places)
    assert np.array_equal(dense(taken), dense(build(rows))[places])
    assert np.array_equal(taken.origins, build(rows).origins[places])


@given(rows=ROWS.filter(bool), other=ROWS, seed=st.integers(0, 99))
@checked
def test_replacing_rows_is_assigning_to_a_matrix(rows: list, other: list, seed: int) -> None:
    other = other[: len(rows)]
    places = np.random.default_rng(seed).permutation(len(rows))[: len(other)]
    wanted, origins = dense(build(rows)), build(rows).origins.copy()
    wanted[places] = dense(build(other))
    origins[places] = build(other).origins
    replaced = build(rows).replace(places, build(other))
    assert np.array_equal(dense(replaced), wanted)
    assert np.array_equal(replaced.origins, origins)


def test_copies_are_rows_of_one_source_each() -> None:
    mapped = VocabularyMap.copies(SOURCE, [3, 0, 3])
    assert np.array_equal(dense(mapped), np.eye(SOURCE + 1, dtype=np.float32)[[3, 0, 3]])
    assert mapped.counts() == {"copied": 3}
    assert VocabularyMap.copies(SOURCE, [1], Origin.ROLE).counts() == {"role": 1}


def test_counts_name_the_origins_that_occur() -> None:
    origins = [Origin.MEAN, Origin.OMP, Origin.MEAN]
    mapped = VocabularyMap.from_rows(SOURCE, [((), (), origin) for origin in origins])
    assert mapped.counts() == {"omp": 1, "mean": 2}
    assert VocabularyMap.from_rows(SOURCE, []).counts() == {}


def test_arrays_have_the_stated_types_and_cannot_be_changed() -> None:
    mapped = VocabularyMap.from_rows(SOURCE, [([1], [0.5], Origin.OMP)])
    types = {name: getattr(mapped, name).dtype.name for name in ("indptr", "indices", "weights")}
    assert types == {"indptr": "int64", "indices": "int64", "weights": "float32"}
    assert mapped.origins.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        mapped.weights[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        mapped.source_size = 3


def test_the_given_arrays_stay_the_callers_own() -> None:
    ids = np.array([1, 2])
    mapped = VocabularyMap.copies(SOURCE, ids)
    ids[0] = 5
    assert mapped.row(0)[0].tolist() == [1]


@pytest.mark.parametrize("index", [-1, SOURCE])
def test_an_index_outside_the_source_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="outside the 7 source rows"):
        VocabularyMap.copies(SOURCE, [0, index])


def test_weights_that_do_not_fit_the_indices_are_refused() -> None:
    with pytest.raises(ValueError, match="2 source rows and 1 weights"):
        VocabularyMap.from_rows(SOURCE, [([1, 2], [1.0], Origin.OMP)])


@pytest.mark.parametrize(
    ("indptr", "weights", "origins"),
    [
        ([0, 1], [1.0, 1.0], [0]),
        ([0, 2], [1.0], [0]),
        ([1, 2], [1.0, 1.0], [0]),
        ([0, 2], [1.0, 1.0], [0, 0]),
        ([0, 2, 1, 2], [1.0, 1.0], [0, 0, 0]),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    indptr: list[int], weights: list[float], origins: list[int]
) -> None:
    parts = [np.array(part) for part in (indptr, [0, 1], weights, origins)]
    with pytest.raises(ValueError, match=r"fit together|as many starts"):
        VocabularyMap(SOURCE, *parts)


def test_weights_of_the_mean_are_one_per_row() -> None:
    parts = [np.array(part) for part in ([0, 1, 1], [3], [1.0], [0, 1])]
    with pytest.raises(ValueError, match="2 rows need as many weights of the mean"):
        VocabularyMap(SOURCE, *parts, mean_weights=np.zeros(1, dtype=np.float32))


def test_maps_over_different_sources_are_not_stacked() -> None:
    with pytest.raises(ValueError, match="7 source rows here, 8 there"):
        VocabularyMap.copies(7, [0]).stack(VocabularyMap.copies(8, [0]))


def test_as_many_rows_are_replaced_as_are_given() -> None:
    with pytest.raises(ValueError, match="2 rows to replace, 1 given"):
        VocabularyMap.copies(7, [0, 1]).replace([0, 1], VocabularyMap.copies(7, [0]))


@pytest.mark.parametrize("place", [-1, 2])
def test_a_row_that_does_not_exist_is_refused(place: int) -> None:
    with pytest.raises(IndexError):
        VocabularyMap.copies(7, [0, 1]).row(place)
