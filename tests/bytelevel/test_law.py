"""The law of the next byte, from masses that are known and masses that are guessed."""

from __future__ import annotations

import numpy as np
import pytest

from tokxfer.bytelevel.law import IMPOSSIBLE, OUTCOMES, STOP, ByteLaw, normalise, nothing
from tokxfer.bytelevel.scores import NextByte


def masses(seed: int, share: float) -> np.ndarray:
    draw = np.random.default_rng(seed)
    found = np.log(draw.dirichlet(np.full(OUTCOMES, 0.1)))
    found[draw.random(OUTCOMES) > share] = -np.inf
    return found


def test_a_law_is_its_masses_normalised() -> None:
    law = ByteLaw(masses(0, 0.3) - 500)
    assert np.exp(law.nats).sum() == pytest.approx(1)
    known = np.isfinite(law.joint)
    ratios = law.nats[known] - law.joint[known]
    assert np.ptp(ratios) < 1e-9
    assert (law.nats[~known] == IMPOSSIBLE).all()
    lower, upper = law.bounds
    assert np.array_equal(lower, law.nats)
    assert np.array_equal(upper, law.nats)


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_however_the_rest_falls_out(seed: int) -> None:
    law = ByteLaw(masses(seed, 0.3) - 9, masses(seed + 10, 0.2) - 10)
    possible = np.flatnonzero(np.isfinite(np.logaddexp(law.joint, law.guessed)))
    lost = np.exp(np.logaddexp.reduce(law.guessed))
    lower, upper = law.bounds
    draw = np.random.default_rng(seed)
    tightest_low, tightest_high = np.full(OUTCOMES, np.inf), np.full(OUTCOMES, -np.inf)
    for number in range(3 * len(possible)):
        rest = np.zeros(OUTCOMES)
        if number < len(possible):
            rest[possible[number]] = lost
        else:
            rest[possible] = draw.dirichlet(np.full(len(possible), 0.1)) * lost * draw.random()
        real = np.exp(law.joint) + rest
        with np.errstate(divide="ignore"):
            nats = np.maximum(np.log(real / real.sum()), IMPOSSIBLE)
        assert (lower <= nats + 1e-9).all()
        assert (nats <= upper + 1e-9).all()
        tightest_low = np.minimum(tightest_low, nats)
        tightest_high = np.maximum(tightest_high, nats)
    assert np.abs(tightest_low - lower)[possible].max() < 1e-9
    assert np.abs(tightest_high - upper)[possible].max() < 1e-9


@pytest.mark.parametrize("stops", [np.zeros(0), np.log([0.1, 0.3]), np.full(2, -np.inf)])
def test_what_cannot_come_has_numbers_all_the_same(stops: np.ndarray) -> None:
    law = ByteLaw(nothing(), stops=np.full(len(stops), -np.inf), mass=-np.inf)
    for told in (law.nats, *law.bounds, law.stop_nats):
        assert (told == IMPOSSIBLE).all()
    some = nothing()
    some[STOP] = np.logaddexp.reduce(stops) if len(stops) else -np.inf
    some[65] = -1.0
    law = ByteLaw(some, stops=stops)
    whole = np.exp(law.nats).sum()
    assert whole == pytest.approx(1)
    assert np.exp(law.stop_nats).sum() == pytest.approx(np.exp(law.nats[STOP]))


def test_guessed_ends_are_shared_by_all_stops() -> None:
    joint, guessed = nothing(), nothing()
    joint[[65, STOP]] = np.log([0.5, 0.2])
    guessed[STOP] = np.log(0.1)
    law = ByteLaw(joint, guessed, stops=np.log([0.15, 0.05]))
    assert np.exp(law.stop_nats) == pytest.approx([0.25, 0.125])


def test_the_public_law_has_every_number() -> None:
    joint = nothing()
    joint[[65, 66, STOP]] = np.log([0.5, 0.2, 0.1])
    told = NextByte(ByteLaw(joint, mass=-2.0, stops=np.log([0.1])), "canonical", [7])
    assert told.nats.exp()[[65, 66]].tolist() == pytest.approx([0.625, 0.25])
    assert np.exp(told.stop) == pytest.approx(0.125)
    assert told.stops == {7: told.stop}
    assert told.lower[[65, 66]].tolist() == told.nats[[65, 66]].tolist()
    assert told.upper[-1] == told.stop
    assert (told.mass, told.missing, told.law) == (-2.0, -np.inf, "canonical")
    assert [value for value, _ in told.top(2)] == [b"A", b"B"]


def test_laws_found_at_once_are_those_found_one_by_one() -> None:
    guesses = [nothing(), masses(5, 0.2) - 10, nothing(), masses(6, 0.4) - 3]
    joints = [masses(1, 0.3) - 500, masses(2, 0.3) - 9, nothing(), nothing()]
    together = [ByteLaw(*pair) for pair in zip(joints, guesses, strict=True)]
    normalise(together)
    for law, joint, guessed in zip(together, joints, guesses, strict=True):
        np.testing.assert_array_equal(law.__dict__["nats"], ByteLaw(joint, guessed).nats)
        np.testing.assert_array_equal(law.joint, joint)
    normalise([])
