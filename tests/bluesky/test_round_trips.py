"""How often a run asks the IOC: once for each calibration where it must, and once for all where it can."""

import signal

import bluesky.plans as bp
import pytest

from panels import FlatPanel
from ponikeeper.errors import NotConnectedError
from ponikeeper_client import _fresh_gets
from ponikeeper_client.device import CalibrationData, proofs
from ponikeeper_client.guard import calibration_guard
from scripted import commit
from speak import GEOMETRY

COUNT = 4


@pytest.fixture
def asked(monkeypatch):
    """The PVs of each round trip."""
    trips = []
    ask = _fresh_gets._ask
    monkeypatch.setattr(_fresh_gets, "_ask", lambda wanted: trips.append(wanted) or ask(wanted))
    return trips


@pytest.fixture
def panels(make, fresh_prefix):
    panels = [make(FlatPanel, fresh_prefix().removesuffix("Calib:"), f"pe{number}") for number in range(COUNT)]
    for panel in panels:
        commit(panel, GEOMETRY["dist"])
        panel.calib.read_snapshot()
    return panels


def test_run_asks_once_for_each_calibration_and_its_description_needs_no_question(panels, take, asked):
    take(bp.count(panels, 3))
    assert len(asked) == COUNT


def test_guard_asks_all_at_once_before_and_after_the_reading_and_at_the_end(panels, take, asked):
    take(calibration_guard(bp.count(panels)))
    together = [trip for trip in asked if len(trip) > 3]
    assert [len(trip) for trip in together] == [3 * COUNT] * 3
    assert len(asked) - len(together) == 3 * COUNT  # links at rest, begin of the exposure, and bluesky


def test_one_that_does_not_answer_is_named_and_the_others_are_read(make, make_ioc, panels, asked):
    ioc = make_ioc().start()
    silent = make(CalibrationData, ioc.prefix, "silent", timeout=0.5)
    silent.read_snapshot()
    calibs = [panel.calib for panel in panels] + [silent]
    assert None not in proofs(calibs).values()
    ioc.signal(signal.SIGSTOP)
    try:
        answers = proofs(calibs)
        assert set(answers.values()) == {None}
        assert [calib.read_snapshot(answers[calib]).revision for calib in calibs[:-1]] == [1] * COUNT
        with pytest.raises(NotConnectedError, match=f"{ioc.prefix}Serial_RBV does not answer within 0.5 s"):
            silent.read_snapshot(answers[silent])
    finally:
        ioc.signal(signal.SIGCONT)
