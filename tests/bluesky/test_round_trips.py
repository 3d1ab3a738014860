"""How often a run asks the IOC: once for each calibration where it must, and once for all where it can."""

import signal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky.utils import Msg, RunEngineInterrupted

import speak
from panels import FlatPanel
from ponikeeper.errors import NotConnectedError
from ponikeeper_client import _fresh_gets
from ponikeeper_client.device import CalibrationData, proofs
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.guard._proofs import SharedProofs
from scripted import commit
from speak import GEOMETRY, commit_text

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


def test_guard_asks_all_at_once_at_the_trigger_before_and_after_the_reading_and_at_the_end(panels, take, asked):
    take(calibration_guard(bp.count(panels)))
    assert [len(trip) for trip in asked] == [3 * COUNT] * 4


def test_guard_of_some_asks_no_other_ioc(panels, take, asked):
    take(calibration_guard(bp.count(panels), calibs=[panels[0].calib, panels[1].calib]))
    assert sorted(len(trip) for trip in asked) == [3, 3, 6, 6, 6, 6]  # bluesky reads the configuration of the others


def test_answer_from_before_an_activation_is_not_used(panels):
    first, other = panels[0].calib, panels[1].calib
    answers = proofs([first, other])
    revision = speak.request(first.prefix, commit_text("next", geometry={**GEOMETRY, "dist": 0.3}))["revision"]
    first.read_snapshot()  # returns when the monitor has delivered it
    with first.proven(answers[first]):
        recorded = first.read_configuration()
    assert (recorded["pe0_calib_revision"]["value"], recorded["pe0_calib_dist"]["value"]) == (revision, 0.3)


def test_exposure_that_is_repeated_after_a_pause_asks_again(panels, run_engine, asked):
    def interrupted():
        yield from bps.checkpoint()
        yield from bps.trigger(panels[0], group="trigger-1", wait=True)
        if not paused:
            paused.append(len(asked))
            yield from bps.pause()
        yield from bps.create("primary")
        yield from bps.read(panels[0])
        yield from bps.save()

    paused = []
    plan = calibration_guard(bpp.run_wrapper(bpp.stage_wrapper(interrupted(), panels)))
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan)
    assert paused == [1]
    run_engine.resume()
    assert len(asked) == 1 + 1 + 3  # again at the trigger; before and after the reading; at the end


def test_trigger_after_other_messages_asks_again():
    shared, trips = scripted_proofs()
    for msg in (Msg("trigger"), Msg("trigger"), Msg("wait"), Msg("trigger")):
        shared.note(msg)
        shared.of_trigger(["one"], ["two"])
    assert trips == [["one", "two"], ["one", "two"]]


def test_staged_devices_are_asked_at_the_first_trigger_until_they_are_unstaged(panels):
    shared, trips = scripted_proofs()
    for panel in panels:
        shared.note(Msg("stage", panel))
    shared.note(Msg("unstage", panels[-1]))
    shared.of_trigger([panels[0].calib], [])
    assert trips == [[panel.calib for panel in panels[:-1]]]


def scripted_proofs():
    """Return the proofs of a guard, and a list of the calibrations that they ask."""
    trips = []

    def ask(calibs):
        trips.append(calibs)
        return dict.fromkeys(calibs)

    return SharedProofs(ask=ask), trips


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
