"""Guarded fly scans: frames have the geometry with which they were taken, or the run fails."""

import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from ophyd.sim import NullStatus
from ophyd.status import Status

from ponikeeper_client.guard import calibration_guard
from scripted import Scripted, attempt, commit
from speak import GEOMETRY

FIRST = GEOMETRY["dist"]


class Flying(Scripted):
    """A detector that flies, and returns a frame at each collection."""

    def kickoff(self):
        return NullStatus()

    def complete(self):
        return NullStatus()

    def describe_collect(self):
        return self.number.describe()

    def collect(self):
        self.happen("read")
        yield {"time": time.time(), "data": {self.number.name: 1}, "timestamps": {self.number.name: time.time()}}


class Naming(Flying):
    """A detector that names the streams of its frames itself."""

    def describe_collect(self):
        return {"flown": self.number.describe()}


class Lasting(Flying):
    """A detector whose fly scan lasts until the test ends it."""

    def complete(self):
        self.flight = Status(self)
        return self.flight


@pytest.fixture
def connect(make, prefix):
    """Connect to a detector with a first geometry."""

    def connected(cls):
        panel = make(cls, prefix.removesuffix("Calib:"), "pe1")
        commit(panel, FIRST)
        return panel

    return connected


def flown(run):
    """Return what each page of events was recorded with."""
    data = {each["uid"]: each["configuration"]["pe1"]["data"] for each in run["descriptor"]}
    return [data[page["descriptor"]]["pe1_calib_dist"] for page in run.get("event_page", ())]


@bpp.run_decorator()
def while_completing(panel):
    yield from bps.declare_stream(panel, name="primary", collect=True)
    yield from bps.kickoff(panel, wait=True)
    yield from bps.collect_while_completing([panel], [panel], flush_period=0.01, stream_name="primary")


def test_geometry_that_changes_between_two_collections_of_one_flight_fails_the_run(connect, run_engine):
    panel = connect(Lasting)
    panel.script[("read", 2)] = lambda: commit(panel, 0.5)
    panel.script[("read", 4)] = lambda: panel.flight.set_finished()
    run, reported = attempt(run_engine, calibration_guard(while_completing(panel)))
    assert "pe1_calib: the geometry changed from serial 1 to 2 during a fly scan" in reported
    assert flown(run) == [FIRST, FIRST]


def test_flight_that_is_collected_while_it_lasts_is_recorded(connect, take):
    panel = connect(Lasting)
    panel.script[("read", 4)] = lambda: panel.flight.set_finished()
    assert set(flown(take(calibration_guard(while_completing(panel))))) == {FIRST}


def test_name_that_is_no_link_is_reported_when_a_flight_begins(connect, run_engine):
    plan = calibration_guard(flights(connect(Flying), lambda: None), moving=["zz"])
    with pytest.raises(ValueError, match=r"moving=\['zz'\]: zz is not a link of the detectors; the links are none"):
        run_engine(plan)


def flights(panel, meanwhile):
    """Fly twice, and collect the frames of both at the end."""

    @bpp.run_decorator()
    def plan():
        yield from bps.declare_stream(panel, name="primary", collect=True)
        for number in (1, 2):
            yield from bps.kickoff(panel, wait=True)
            yield from bps.complete(panel, wait=True)
            if number == 1:
                meanwhile()
        yield from bps.collect(panel, name="primary")

    return plan()


def test_geometry_that_changes_before_the_frames_of_a_flight_are_collected_fails_the_next_flight(connect, run_engine):
    panel = connect(Flying)
    run, reported = attempt(run_engine, calibration_guard(flights(panel, lambda: commit(panel, 0.5))))
    assert "pe1_calib: the geometry changed from serial 1 to 2 during a fly scan" in reported
    assert flown(run) == []


def test_flights_that_are_collected_together_are_recorded(connect, take):
    assert flown(take(calibration_guard(flights(connect(Flying), lambda: None)))) == [FIRST]


def test_geometry_that_changes_between_two_flights_of_a_flyer_that_names_its_streams_is_recorded(connect, take):
    panel = connect(Naming)

    @bpp.run_decorator()
    def plan():
        for dist in (0.5, 0.6, None):
            yield from bps.kickoff(panel, wait=True)
            yield from bps.complete(panel, wait=True)
            yield from bps.collect(panel)
            if dist is not None:
                commit(panel, dist)

    assert flown(take(calibration_guard(plan()))) == [FIRST, 0.5, 0.6]
