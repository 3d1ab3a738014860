"""Tolerance, motion and rest of a link, and the position of all links."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.config import Link
from ponikeeper.detector.link_rules import Reading, Sample, is_moving, rests_from, state_of, updated
from ponikeeper.protocol import (
    LinkState,
    is_within,
    position_now,
)
from ponikeeper.protocol.link_units import Egu
from ponikeeper.protocol.links import MAX_ERROR
from ponikeeper.text import strictjson

MOTOR = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05)
WATCHED = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05, moving="Z.MOVN")
ENERGY = Link(name="energy", pv="E", kind="energy", units="keV", tolerance=1e-4)
WAVELENGTH = Link(name="beam", pv="W", kind="wavelength", units="m", tolerance=1e-3)
BINNING = Link(name="binning", pv="B", kind="equal")

GONE = Sample()
SETTLE = 2.0


def says(value, units=""):
    return Sample(connected=True, value=value, egu=Egu(units))


def wrong(error="it says nan: expected a finite number"):
    return Sample(connected=True, error=error)


def readings(link, *samples, settle=SETTLE, reference=None):
    """Return the reading of a link after updates of its PVs: (time, value) or (time, value, moving)."""
    reading = Reading()
    for time, value, *moving in samples:
        reading = updated(link, reading, value, *(moving or [GONE]), reference, settle, time)
    return reading


NEVER = -math.inf


@pytest.mark.parametrize(
    ("samples", "now", "moving", "rests"),
    [
        ([], 10.0, None, NEVER),  # nothing is known yet
        ([(0.0, GONE)], 10.0, None, NEVER),
        ([(0.0, wrong())], 10.0, None, NEVER),
        ([(0.0, says(1.0))], 1.9, True, 2.0),  # it may have moved just before it was seen
        ([(0.0, says(1.0))], 2.0, False, 2.0),
        ([(0.0, says(1.0)), (10.0, says(1.06))], 11.5, True, 12.0),
        ([(0.0, says(1.0)), (10.0, says(1.06))], 12.0, False, 12.0),
        ([(0.0, says(1.0)), (10.0, says(1.05))], 10.0, False, NEVER),  # noise
        ([(0.0, says(1.0)), (10.0, says(1.04)), (11.0, says(1.08))], 11.0, True, 12.0),  # more than that within settle
        ([(0.0, says(1.0)), (10.0, says(1.04)), (12.5, says(1.08))], 12.5, False, NEVER),  # a drift
        ([(0.0, says(1.0)), (10.0, says(1.2)), (11.0, says(1.0))], 12.0, True, 13.0),  # there and back
        ([(0.0, says(1.0)), (10.0, GONE), (11.0, says(1.0))], 12.0, True, 13.0),  # back: not seen at rest since
        ([(0.0, says(1.0)), (10.0, wrong()), (11.0, says(1.0))], 12.0, True, 13.0),
        ([(0.0, says(1.0)), (10.0, says(1.0))], 10.0, False, NEVER),
    ],
)
def test_motion_of_a_link_without_a_moving_pv(samples, now, moving, rests):
    reading = readings(MOTOR, *samples)
    assert is_moving(MOTOR, reading, SETTLE, now) is moving
    assert rests_from(MOTOR, reading, SETTLE) == rests


@pytest.mark.parametrize(
    ("value", "flag", "moving", "connected", "error"),
    [
        (says(1.0), says(0.0), True, True, None),  # it may have moved just before it was seen
        (says(1.0), says(1.0), True, True, None),
        (says(1.0), says(-2.0), True, True, None),
        (says(1.0), GONE, None, False, "Z.MOVN is not connected"),
        (says(1.0), wrong("it says no"), None, True, "Z.MOVN: it says no"),
        (GONE, says(1.0), True, False, None),
        (wrong("it says no"), says(0.0), False, True, "it says no"),
        (wrong("it says no"), GONE, None, False, "it says no"),
    ],
)
def test_moving_pv_reports_motion_at_once(value, flag, moving, connected, error):
    reading = readings(WATCHED, (0.0, value, flag))
    assert is_moving(WATCHED, reading, SETTLE, 0.0) is moving
    assert (reading.value, reading.connected, reading.error) == (value.value, connected, error)


def test_link_is_at_rest_after_the_settle_time_without_motion():
    still, moves = (says(1.0), says(0.0)), (says(1.0), says(1.0))
    assert rests_from(WATCHED, readings(WATCHED, (1.0, *still), (9.0, *still)), SETTLE) == NEVER  # long ago
    stopped = readings(WATCHED, (1.0, *still), (5.0, *moves), (9.0, *still))
    assert [is_moving(WATCHED, stopped, SETTLE, now) for now in (9.0, 10.9, 11.0)] == [True, True, False]
    # a flag that never comes does not hide what the value says
    jumped = readings(WATCHED, (1.0, *still), (5.0, says(2.0), says(0.0)))
    assert [is_moving(WATCHED, jumped, SETTLE, now) for now in (5.0, 6.9, 7.0)] == [True, True, False]


@given(
    st.lists(st.tuples(st.floats(0.001, 3.0), st.floats(0.9, 1.1)), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.5, SETTLE]),
)
def test_motion_is_a_change_of_the_value_within_the_settle_time(steps, settle):
    """The few stored samples give the same result as all samples, except for the resolution of the settle time."""
    reading, now, lived = Reading(), 0.0, []
    for pause, value in steps:
        now += pause
        reading = updated(MOTOR, reading, says(value), GONE, None, settle, now)
        lived.append((now, value))
    assert len(reading.track) < 80
    ends = [time for time, _ in lived[1:]]
    moved = [end for (_, value), end in zip(lived, ends, strict=False) if not is_within(MOTOR, lived[-1][1], value)]
    last = max([lived[0][0], *moved])
    rest = rests_from(MOTOR, reading, settle)
    at = last + settle
    finest = settle / 16
    if is_moving(MOTOR, reading, settle, now):
        assert now < at + finest
        assert rest == pytest.approx(at, abs=finest)
    else:
        assert at <= now + finest


def beyond(link, *samples, settle=SETTLE, reference=1.0):
    """Return for each sample, and for the last one repeated later, whether a link is outside its tolerance."""
    reading, found = Reading(), []
    for time, value, *moving in samples:
        if value is not None:
            reading = updated(link, reading, says(value), *(moving or [says(0.0)]), reference, settle, time)
        found.append(state_of(link, reading, reference, reference, settle, time).within is False)
    return found


def test_link_that_jitters_about_the_edge_is_beyond_until_it_stays_within():
    jitter = [(10.0 + step / 10, 1.051 if step % 2 == 0 else 1.049) for step in range(20)]
    samples = [(0.0, 1.0), (9.0, 1.049), *jitter, (13.8, None), (14.0, None)]
    assert beyond(WATCHED, *samples) == [False, False, *[True] * 20, True, False]


def test_link_that_has_come_back_by_a_move_is_within_at_once_when_it_rests():
    stop, go = says(0.0), says(1.0)
    samples = [(0.0, 1.0, stop), (5.0, 1.0, go), (6.0, 2.0, go), (7.0, 2.0, stop), (9.0, None),
        (10.0, 2.0, go), (11.0, 1.0, go), (12.0, 1.0, stop), (14.0, None)]  # fmt: skip
    assert beyond(WATCHED, *samples)[-5:] == [True, True, False, False, False]


def test_jitter_is_calmed_where_nothing_settles_too():
    samples = [(0.0, 1.0), (1.0, 1.051), (1.1, 1.049), (1.2, 1.051), (1.3, 1.049), (1.7, None), (1.8, None)]
    assert beyond(WATCHED, *samples, settle=0.0) == [False, True, True, True, True, True, False]


def test_reference_changes_with_the_geometry():
    reading = readings(WATCHED, (0.0, says(1.0), says(0.0)), reference=None)
    assert state_of(WATCHED, reading, None, None, SETTLE, 0.0).within is None
    assert state_of(WATCHED, reading, 1.0, 1.0, SETTLE, 0.0).within is True
    assert state_of(WATCHED, reading, 2.0, 2.0, SETTLE, 0.0).within is False
    assert state_of(WATCHED, readings(WATCHED, (0.0, GONE, GONE)), 2.0, 2.0, SETTLE, 0.0).within is None


def test_settle_of_zero_never_reports_motion():
    assert is_moving(MOTOR, readings(MOTOR, (0.0, says(1.0)), settle=0.0), 0.0, 0.0) is False


def state(name="z", **more):
    values = {"value": 1.0, "calibrated": None, "moving": False, "connected": True} | more
    return LinkState(name, "Z.RBV", "motor", "mm", 0.05, **values)


@pytest.mark.parametrize(
    ("more", "unknown_because"),
    [
        ({}, None),
        ({"moving": True}, "z (Z.RBV) is moving"),
        ({"connected": False}, "z (Z.RBV) is not connected"),
        (
            {"connected": False, "moving": None, "error": "Z.MOVN is not connected"},
            "z (Z.RBV): Z.MOVN is not connected",
        ),
        ({"connected": False, "value": None, "moving": None}, "z (Z.RBV) is not connected"),
        ({"value": None, "error": "it says nan"}, "z (Z.RBV): it says nan"),
        ({"moving": None, "error": "Z.MOVN: it says no"}, "z (Z.RBV): Z.MOVN: it says no"),
        ({"value": 0.0}, None),
    ],
)
def test_position_is_known_where_every_link_is_connected_at_rest_and_a_number(more, unknown_because):
    links = [state("y", value=2.0), state(**more)]
    assert links[1].unknown_because == unknown_because
    assert position_now(links) == (None if unknown_because else {"y": 2.0, "z": links[1].value})


def test_without_links_the_position_is_known():
    assert position_now([]) == {}


@pytest.mark.parametrize(
    ("link", "sample", "value"),
    [
        (MOTOR, says(1000050.0, "um"), 1000.05),
        (ENERGY, says(12398.4, "eV"), 12.3984),
        (WAVELENGTH, says(0.1665, "A"), 1.665e-11),
        (BINNING, says(2.0, "px"), 2.0),
        (MOTOR.model_copy(update={"egu": "zpos"}), says(7.5, "zpos"), 7.5),
    ],
)
def test_value_is_converted_to_the_units_of_the_link(link, sample, value):
    reading = readings(link, (0.0, sample))
    assert (reading.value, reading.error) == (pytest.approx(value, rel=1e-15), None)


def test_motion_and_tolerance_are_those_of_the_converted_value():
    at = [(0.0, says(1000000.0, "um")), (5.0, says(1000040.0, "um"))]
    assert not is_moving(MOTOR, readings(MOTOR, *at), SETTLE, 5.0)
    assert is_moving(MOTOR, readings(MOTOR, *at, (9.0, says(1000100.0, "um"))), SETTLE, 9.0)
    assert state_of(MOTOR, readings(MOTOR, *at, reference=1000.0), 1000.0, 1000.0, SETTLE, 99.0).within is True


def test_current_of_a_magnet_is_no_position():
    """As an angstrom it would be 5e-7 mm, within the tolerance whatever the current is."""
    reading = readings(MOTOR, (0.0, says(5.0, "A")), reference=0.0)
    assert (reading.value, reading.error) == (
        None,
        'its units are "A", expected mm: correct units of the link, or add egu = "A"',
    )


def test_link_in_other_units_has_no_value_and_names_both():
    reading = readings(MOTOR, (0.0, says(1000.0, "counts")), reference=1000.0)
    assert reading.value is None
    assert reading.error == 'its units are "counts", expected mm: correct units of the link, or add egu = "counts"'
    state = state_of(MOTOR, reading, 1000.0, 1000.0, SETTLE, 99.0)
    assert (state.within, state.unknown_because) == (None, f"z (Z.RBV): {reading.error}")


@pytest.mark.parametrize("word", ["\xe9" * 40, '"' * 39, "x" * 39])
def test_both_units_are_named_however_odd_the_reported_ones_are(word):
    link = MOTOR.model_copy(update={"units": "u" * 16})
    error = readings(link, (0.0, says(1.0, word))).error
    assert error.startswith("its units are ")
    assert "expected " + "u" * 16 in error or error.endswith("...")
    assert len(strictjson.dumps(error)) <= MAX_ERROR


def test_value_is_unknown_until_the_units_are():
    reading = readings(MOTOR, (0.0, Sample(connected=True, value=1000.0)), reference=1000.0)
    assert (reading.value, reading.error) == (None, "its units are not known yet")
    assert readings(BINNING, (0.0, Sample(connected=True, value=2.0))).value == 2.0
    changed = updated(MOTOR, reading, says(1000.0, "mm"), GONE, 1000.0, SETTLE, 1.0)
    assert (changed.value, changed.error) == (1000.0, None)
    again = updated(MOTOR, changed, says(1000.0, "m"), GONE, 1000.0, SETTLE, 2.0)
    assert again.value == 1000000.0
