"""Calibrations that a run monitors, whole or one of their values, with and without the guard."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from ophyd import Component as Cpt

import speak
from live import wait_for
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.recall import recorded as recalled
from scripted import Scripted, attempt, commit, recorded
from speak import GEOMETRY

FIRST = GEOMETRY["dist"]


class Monitored(Scripted):
    """A detector that makes events itself, one at each trigger."""

    SUB_FRAME = "frame"
    _default_sub = SUB_FRAME

    def trigger(self):
        status = super().trigger()
        self._run_subs(sub_type=self.SUB_FRAME)
        return status


class PerEvent(Monitored):
    calib = Cpt(CalibrationData, "Calib:", kind="config", per_event=True)


@pytest.fixture
def connect(make, fresh_prefix):
    def connected(cls):
        panel = make(cls, fresh_prefix().removesuffix("Calib:"), "pe1")
        commit(panel, FIRST)
        return panel

    return connected


@pytest.fixture(params=[True, False], ids=["guarded", "unguarded"])
def guard(request):
    return calibration_guard if request.param else lambda plan: plan


def changed_at(panel, trigger, dist):
    """Commit a geometry at a trigger, and wait until the monitor has delivered it."""

    def change():
        serial = commit(panel, dist)
        wait_for(lambda: panel.calib.monitored().serial == serial)

    panel.script[("trigger", trigger)] = change


def data(run, stream, *keys):
    """Return values of the events of a stream."""
    uids = {each["uid"] for each in run["descriptor"] if each["name"] == stream}
    return [tuple(event["data"][f"pe1_calib_{key}"] for key in keys) for event in run["event"]
            if event["descriptor"] in uids]  # fmt: skip


def messages(caplog):
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_monitored_calibration_has_an_event_for_each_activation(connect, take, guard, caplog):
    panel = connect(PerEvent)
    changed_at(panel, 2, 0.5)
    changed_at(panel, 3, 0.6)
    run = take(guard(bpp.monitor_during_wrapper(bp.count([panel], 4), [panel.calib])))
    assert data(run, "pe1_calib_monitor", "serial", "status") == [(number, "UNWATCHED") for number in (1, 2, 3)]
    (descriptor,) = [each for each in run["descriptor"] if each["name"] == "pe1_calib_monitor"]
    assert descriptor["configuration"]["pe1_calib"]["data"]["pe1_calib_dist"] == FIRST
    if guard is calibration_guard:
        assert recorded(run, "dist") == [FIRST, 0.5, 0.6, 0.6]
    parts = recalled(
        [(kind, each) for kind, documents in run.items() for each in documents], stream="pe1_calib_monitor"
    )
    assert [part.status for part in parts] == ["UNWATCHED", "UNKNOWN", "UNKNOWN"]  # of no geometry but the first
    assert "serial 3 was active" in parts[2].status_reason
    assert messages(caplog) == []


def test_calibration_without_values_for_events_is_not_monitored_and_what_to_do_is_named(connect, run_engine, guard):
    panel = connect(Scripted)
    plan = guard(bpp.monitor_during_wrapper(bp.count([panel]), [panel.calib]))
    _, message = attempt(run_engine, plan, ValueError)
    assert message == (
        "pe1_calib has nothing to record in the events of a monitor: expected CalibrationData(..., per_event=True), "
        "whose events have serial and status; or monitor pe1_calib.status"
    )


@pytest.mark.parametrize("name", ["serial", "status", "revision", "dist"])
def test_one_value_is_monitored_and_read(connect, take, guard, caplog, name):
    panel = connect(Scripted)
    part = getattr(panel.calib, name)
    changed_at(panel, 2, 0.5)
    run = take(guard(bpp.monitor_during_wrapper(bp.count([panel], 3), [part])))
    seen = data(run, f"pe1_calib_{name}_monitor", name)
    assert seen[0] == ({"serial": 1, "status": "UNWATCHED", "revision": 1, "dist": FIRST}[name],)
    if guard is calibration_guard:
        assert recorded(run, "dist") == [FIRST, 0.5, 0.5]
    run = take(guard(bp.count([part], 2)))
    assert len(data(run, "primary", name)) == 2
    assert messages(caplog) == []


def test_monitored_calibration_that_does_not_apply_is_warned_of_once(connect, take, guard, caplog):
    panel = connect(PerEvent)
    prefix = panel.calib.prefix
    text = '{"v": 1, "request": "off", "op": "retract", "revision": 1, "reason": "it was off"}'
    assert speak.request(prefix, text)["outcome"] == "accepted"
    run = take(guard(bpp.monitor_during_wrapper(bp.count([panel], 3), [panel.calib])))
    assert data(run, "pe1_calib_monitor", "status") == [("RETRACTED",)]
    (message,) = messages(caplog)
    assert message.startswith("pe1_calib: the status is RETRACTED")


@pytest.mark.parametrize(("cls", "fails"), [(Monitored, True), (PerEvent, False)])
def test_change_while_a_detector_makes_events_itself_is_in_them_or_fails_the_run(
    connect, take, run_engine, caplog, cls, fails
):
    panel = connect(cls)
    changed_at(panel, 2, 0.5)
    plan = calibration_guard(bpp.monitor_during_wrapper(bp.count([panel], 3), [panel]))
    if fails:
        _, message = attempt(run_engine, plan)
        assert "from serial 1 to 2, while pe1 is monitored, whose events cannot get another descriptor" in message
        assert "per_event=True" in message
    else:
        run = take(plan)
        assert data(run, "pe1_monitor", "serial") == [(1,), (2,), (2,)]
        assert recorded(run, "dist") == [FIRST, 0.5, 0.5]
    assert messages(caplog) == []


def test_change_after_the_monitor_has_ended_is_recorded(connect, take):
    panel = connect(Monitored)

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.monitor(panel, name="frames")
        yield from bps.trigger_and_read([panel])
        yield from bps.unmonitor(panel)
        commit(panel, 0.5)
        yield from bps.trigger_and_read([panel])

    run = take(calibration_guard(plan()))
    assert recorded(run, "dist") == [FIRST, 0.5]


def test_subscriber_is_called_once_for_an_activation_and_not_after_it_ended(connect):
    calib = connect(PerEvent).calib
    first, second = [], []
    token = calib.subscribe(lambda **_: first.append(calib.read()["pe1_calib_serial"]["value"]))
    calib.subscribe(lambda **_: second.append(calib.read()["pe1_calib_serial"]["value"]), run=False)
    assert (first, second) == ([1], [])
    calib.dist.set(0.5).wait(timeout=30)
    wait_for(lambda: (first, second) == ([1, 2], [2]))
    calib.unsubscribe(token)
    calib.dist.set(0.6).wait(timeout=30)
    wait_for(lambda: second == [2, 3])
    assert first == [1, 2]
