"""The status of a geometry while a motor is nudged, drifts and jitters, as every client receives it, with the times."""

import time

import pytest

from live import wait_for
from motion import Record, move
from ponikeeper.protocol.pvs import DETECTOR_PVS, WITH_SIGMA, sigma
from speak import commit_text, put, read, request

TOLERANCE = 0.05
NEAR = 1000.0

SETTLES = {"{Det:1}Calib:": 0.0, "{Det:2}Calib:": 0.2, "{Det:3}Calib:": 0.0, "{Det:4}Calib:": 0.2}
FLAGGED = ("{Det:1}Calib:", "{Det:2}Calib:")
"""Detectors whose link has a moving PV."""

ALARMED = ("Status_RBV", "Reason_RBV", "Header_RBV", "Snapshot_RBV")
SEVERITIES = {"VALID": 0, "MOVING": 1, "MOVED": 2}


@pytest.fixture(scope="module")
def watched(make_ioc_for_module, motors):
    """Yield the record of one IOC whose detectors have one linked motor and different settings."""
    more = {
        detector: f"settle = {settle}\n"
        + motors.link("z", "Z:RBV", **({"moving": "Z:MOVN"} if detector in FLAGGED else {}))
        for detector, settle in SETTLES.items()
    }
    ioc = make_ioc_for_module(detectors=tuple(SETTLES), more=more, other_ports=(motors.port,)).start()
    with Record(ioc.prefixes, {"z": motors.pv("Z:RBV")}) as record:
        record.until_seen(NEAR, moving=False)
        for prefix in ioc.prefixes:
            assert request(prefix, commit_text("near", position="now"))["outcome"] == "accepted"
        record.until(status="VALID")
        yield record


@pytest.fixture
def at_rest(watched, motors):
    """Start with the motor where it was calibrated."""
    for suffix, value in {"Speed": 0.0, "Swing": 0, "Pause": 0.1, "Z:MOVN": 0, "Z:RBV": NEAR}.items():
        assert put(motors.pv(suffix), value) is None
    watched.until_seen(NEAR, moving=False)
    watched.until(status="VALID")


def settle_of(prefix):
    return next(settle for detector, settle in SETTLES.items() if prefix.endswith(detector))


def require_right(record, began, changes):
    """Check that no client received a wrong status, and that the status changed once for each crossing."""
    for prefix in record.prefixes:
        wrong = {
            "VALID while beyond": record.valid_beyond(prefix, TOLERANCE),
            "MOVED while within": record.moved_within(prefix, TOLERANCE, settle_of(prefix)),
            "other headers": record.other_headers(prefix),
            "changes": record.changes(prefix, began) - changes,
            "neither": sorted(set(record.statuses(prefix, began)) - SEVERITIES.keys()),
        }
        assert not any(wrong.values()), (prefix, wrong, record.history(prefix, began))


def turns(record, motors, count):
    """Wait until the motor has sent a number of updates."""
    seen = record.seen[motors.pv("Z:RBV")]
    enough = len(seen) + count
    wait_for(lambda: len(seen) >= enough, timeout=600.0)


def test_nudge_by_half_a_tolerance_changes_nothing(watched, at_rest, motors):
    began = time.time()
    for place in (NEAR + 0.5 * TOLERANCE, NEAR, NEAR - 0.5 * TOLERANCE, NEAR):
        assert put(motors.pv("Z:RBV"), place) is None
        watched.until_seen(place, moving=False, within=True)
    require_right(watched, began, changes=0)
    assert all(watched.statuses(prefix, began) == ["VALID"] for prefix in watched.prefixes)


def nudge_by_twice_a_tolerance(record, motors, times):
    began = time.time()
    for _ in range(times):
        for side in (1, -1):
            assert put(motors.pv("Z:RBV"), NEAR + side * 2 * TOLERANCE) is None
            record.until(status="MOVED")
            assert put(motors.pv("Z:RBV"), NEAR) is None
            record.until(status="VALID")
    require_right(record, began, changes=4 * times)


def nudge_with_the_moving_pv(record, motors, times):
    began = time.time()
    for _ in range(times):
        move(motors, NEAR + TOLERANCE, NEAR + 2 * TOLERANCE)
        record.until(status="MOVED")
        move(motors, NEAR)
        record.until(status="VALID")
    require_right(record, began, changes=2 * times)


def drift_out_and_back(record, motors, times):
    began = time.time()
    assert put(motors.pv("Pause"), 0.05) is None
    for _ in range(times):
        for speed, status in ((0.1 * TOLERANCE, "MOVED"), (-0.1 * TOLERANCE, "VALID")):
            assert put(motors.pv("Speed"), speed) is None
            record.until(status=status)
    assert put(motors.pv("Speed"), 0.0) is None
    require_right(record, began, changes=2 * times)


def jitter_at_the_edge(record, motors, count):
    """Move the motor out of the tolerance and back, ten times a second."""
    began = time.time()
    inside = NEAR + 0.98 * TOLERANCE
    assert put(motors.pv("Z:RBV"), inside) is None
    record.until_seen(inside, within=True)
    assert put(motors.pv("Swing"), 1) is None
    assert put(motors.pv("Speed"), -0.04 * TOLERANCE) is None
    turns(record, motors, count)
    assert {record.now(prefix)["status"] for prefix in record.prefixes} == {"MOVED"}
    assert put(motors.pv("Speed"), 0.0) is None
    assert put(motors.pv("Z:RBV"), inside) is None
    record.until(status="VALID")
    require_right(record, began, changes=2)


def test_nudge_by_twice_a_tolerance_is_reported_once_there_and_once_back(watched, at_rest, motors):
    nudge_by_twice_a_tolerance(watched, motors, 1)


def test_nudge_of_a_motor_with_a_moving_pv_is_reported_once_there_and_once_back(watched, at_rest, motors):
    nudge_with_the_moving_pv(watched, motors, 1)


def test_slow_drift_is_reported_once_there_and_once_back(watched, at_rest, motors):
    drift_out_and_back(watched, motors, 1)


def test_jitter_at_the_edge_is_reported_once_and_once_when_it_ends(watched, at_rest, motors):
    jitter_at_the_edge(watched, motors, 15)


@pytest.mark.campaign
def test_long_nudges_drifts_and_jitter_are_reported_once_for_each_crossing(watched, at_rest, motors):
    nudge_by_twice_a_tolerance(watched, motors, 50)
    nudge_with_the_moving_pv(watched, motors, 50)
    drift_out_and_back(watched, motors, 20)


@pytest.mark.campaign
def test_long_jitter_is_reported_once(watched, at_rest, motors):
    jitter_at_the_edge(watched, motors, 600)


def test_alarm_of_the_status_is_on_four_pvs_and_on_no_other(watched, at_rest, motors):
    prefix = watched.prefixes[1]
    unknown = {sigma(name) for name in WITH_SIGMA} | {"Accuracy_RBV"}  # of a geometry that no fit found
    assert all(value.severity == 3 for value in read([prefix + suffix for suffix in unknown]))
    pvs = [prefix + pv.suffix for pv in DETECTOR_PVS if pv.suffix not in unknown]

    def alarmed():
        return {value.name.removeprefix(prefix): value.severity for value in read(pvs) if value.severity}

    assert alarmed() == {}
    assert put(motors.pv("Z:MOVN"), 1) is None
    wait_for(lambda: watched.now(prefix)["status"] == "MOVING")
    assert alarmed() == dict.fromkeys(ALARMED, 1)
    assert put(motors.pv("Z:RBV"), NEAR + 1.0) is None
    assert put(motors.pv("Z:MOVN"), 0) is None
    wait_for(lambda: watched.now(prefix)["status"] == "MOVED")
    assert alarmed() == dict.fromkeys(ALARMED, 2)
    assert put(motors.pv("Z:RBV"), NEAR) is None
    watched.until(status="VALID")
    assert alarmed() == {}
    for seen, said in watched.snapshots(prefix):
        if said["status"] in SEVERITIES:
            assert seen.severity == SEVERITIES[said["status"]]
    for seen in watched.seen[f"{prefix}Status_RBV"]:
        if seen.value in SEVERITIES:
            assert seen.severity == SEVERITIES[seen.value]
