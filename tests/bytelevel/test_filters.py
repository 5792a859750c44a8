"""Temperature and cuts, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tokxfer.bytelevel.filters import Filter
from tokxfer.errors import UsageError

SHARES = np.array([0.4, 0.05, 0.3, 0.2, 0.05])
NATS = np.log(SHARES)


def kept(**options: float) -> list[int]:
    return np.flatnonzero(Filter(**options).probabilities(NATS)).tolist()  # type: ignore[arg-type]


def test_nothing_changes_without_options() -> None:
    np.testing.assert_allclose(Filter().probabilities(NATS), SHARES)
    assert Filter().idle
    assert not Filter(top_k=3).idle


def test_temperature_takes_powers() -> None:
    expected = SHARES**2 / (SHARES**2).sum()
    np.testing.assert_allclose(Filter(temperature=0.5).probabilities(NATS), expected)


def test_cuts_keep_the_likeliest() -> None:
    assert kept(top_k=2) == [0, 2]
    assert kept(top_p=0.7) == [0, 2]
    assert kept(top_p=0.71) == [0, 2, 3]
    assert kept(top_p=1e-9) == [0]
    assert kept(min_p=0.5) == [0, 2, 3]
    assert kept(min_p=0.6) == [0, 2]
    assert kept(top_k=3, min_p=0.6) == [0, 2]
    assert Filter(top_k=2).probabilities(NATS).sum() == pytest.approx(1)


def test_cuts_are_of_what_the_temperature_makes() -> None:
    assert kept(top_p=0.5) == [0, 2]
    assert kept(top_p=0.5, temperature=0.5) == [0]
    assert kept(top_p=0.6) == [0, 2]
    assert kept(top_p=0.6, temperature=2) == [0, 2, 3]
    assert kept(min_p=0.5, temperature=0.5) == [0, 2]
    tempered = Filter(temperature=0.5, top_k=2).probabilities(NATS)
    np.testing.assert_allclose(tempered, [0.64, 0, 0.36, 0, 0])


def test_cuts_do_not_depend_on_one_another() -> None:
    """Each is of the whole law, not of what the one before it leaves."""
    together = Filter(top_k=3, top_p=0.75).probabilities(NATS)
    np.testing.assert_allclose(together, [4 / 9, 0, 3 / 9, 2 / 9, 0])


def test_draws_follow_the_probabilities() -> None:
    source = np.random.default_rng(0)
    drawn = np.bincount([Filter(top_k=2).draw(NATS, source) for _ in range(2000)], minlength=5)
    np.testing.assert_allclose(drawn / 2000, [4 / 7, 0, 3 / 7, 0, 0], atol=0.05)
    assert Filter(temperature=0).draw(NATS, source) == 0


def test_no_temperature_draws_what_is_impossible() -> None:
    nats = np.array([-1e30, 0.0, -1.0, -1e30])
    shares = Filter(temperature=1e30).probabilities(nats)
    np.testing.assert_allclose(shares, [0, 0.5, 0.5, 0])


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": 2},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must"):
        Filter(**options)  # type: ignore[arg-type]
