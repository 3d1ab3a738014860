"""Devices without an IOC: make_fake_device of ophyd, mock=True of ophyd-async."""

from dataclasses import replace

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky.run_engine import call_in_bluesky_event_loop
from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal
from ophyd.sim import make_fake_device
from ophyd.utils import DestroyedError
from ophyd_async.core import StandardReadable, StandardReadableFormat, set_mock_value, soft_signal_rw

from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Activate
from ponikeeper_client import documents
from ponikeeper_client.async_device import AsyncCalibrationData, AsyncCalibrationMixin
from ponikeeper_client.device import CalibrationData, CalibrationMixin
from ponikeeper_client.guard import calibration_guard
from speak import GEOMETRY


class Panel(CalibrationMixin, Device):
    """A detector with one value."""

    total = Cpt(EpicsSignal, "Total")
    calib = Cpt(CalibrationData, "Calib:", kind="config")


class AsyncPanel(AsyncCalibrationMixin, StandardReadable):
    """The same in ophyd-async."""

    def __init__(self, prefix, name=""):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.total = soft_signal_rw(float, 1.0)
        self.calib = AsyncCalibrationData(f"{prefix}Calib:")
        super().__init__(name=name)


@pytest.fixture
def panel():
    return make_fake_device(Panel)("NO{Such}", name="pe1")


def ask(awaitable):
    return call_in_bluesky_event_loop(awaitable)


@pytest.fixture
def async_panel(run_engine):
    panel = AsyncPanel("NO{Such}", name="pe1")
    ask(panel.connect(mock=True))
    return panel


def test_fake_records_a_geometry_that_is_read_back_from_the_run(panel, take):
    descriptor = take(bp.count([panel]))["descriptor"][0]
    active = panel.calib.read_snapshot()
    assert documents.geometry(descriptor) == active.geometry
    assert (active.status, active.revision) == ("UNWATCHED", 1)
    for name in NAMES:
        assert getattr(panel.calib, name).get() == getattr(active.geometry, name)


@pytest.mark.parametrize(
    "change",
    [
        lambda panel: panel.calib.set({"dist": 0.31}).wait(10),
        lambda panel: panel.calib.dist.set(0.31).wait(10),
        lambda panel: panel.calib.dist.put(0.31),
        lambda panel: panel.calib.dist.sim_put(0.31),
        lambda panel: panel.configure({"calib.dist": 0.31}),
    ],
)
def test_fake_commits_however_it_is_set_and_calls_subscribers(panel, change):
    seen = {name: [] for name in ("serial", "revision", "dist", "serial_pv")}
    for name, values in seen.items():
        getattr(panel.calib, name).subscribe(lambda value, values=values, **_: values.append(value))
    before = panel.calib.read_snapshot()
    change(panel)
    assert panel.calib.read_snapshot().geometry == replace(before.geometry, dist=0.31)
    assert {name: values[-1] for name, values in seen.items()} == {
        "serial": 2, "revision": 2, "dist": 0.31, "serial_pv": 2,
    }  # fmt: skip


def test_fake_takes_a_whole_geometry_in_a_plan(panel, run_engine):
    whole = Geometry(**{**GEOMETRY, "detector_config": {"orientation": 2}})
    run_engine(bps.abs_set(panel.calib, whole, wait=True))
    assert panel.calib.read_snapshot().geometry == whole


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (lambda calib: calib.configure({"dist": 231.0}), "looks like millimetre"),
        (lambda calib: calib.configure({"dist": 0.2}, expect_revision=7), "revision 1 is active, expected 7"),
        (lambda calib: calib.transact(Activate(1)), "a fake device has no history"),
        (lambda calib: calib.history(), "a fake device has no history"),
    ],
)
def test_fake_refuses_and_is_unchanged(panel, refused, reason):
    before = panel.calib.read_snapshot()
    with pytest.raises(RefusedError, match=reason):
        refused(panel.calib)
    assert panel.calib.read_snapshot() == before


def test_test_of_a_user_sets_any_state(panel):
    seen = []
    panel.calib.status.subscribe(lambda value, **_: seen.append(value))
    moved = replace(panel.calib.read_snapshot(), status="MOVED", reason="z is elsewhere")
    panel.calib.snapshot.sim_put(moved.as_json())
    assert seen == ["UNWATCHED", "MOVED"]
    assert panel.calib.read_configuration()["pe1_calib_status"]["value"] == panel.calib.status_pv.get() == "MOVED"


def test_destroyed_fake_raises(panel):
    panel.destroy()
    with pytest.raises(DestroyedError, match="make a new device"):
        panel.calib.read_configuration()
    assert "destroyed" in repr(panel.calib)


def test_guard_runs_with_a_fake(panel, take):
    documents_of = take(calibration_guard(bp.count([panel], num=2)))
    assert documents_of["stop"][0]["exit_status"] == "success"


def test_mock_records_a_geometry_and_commits(async_panel, take):
    descriptor = take(bp.count([async_panel]))["descriptor"][0]
    before = ask(async_panel.calib.read_snapshot())
    assert documents.geometry(descriptor) == before.geometry
    assert before.status == "UNWATCHED"

    async def commit(values):
        await async_panel.calib.set(values)

    ask(commit({"dist": 0.31}))
    after = ask(async_panel.calib.read_snapshot())
    assert (after.revision, after.geometry) == (2, replace(before.geometry, dist=0.31))
    with pytest.raises(RefusedError, match="looks like millimetre"):
        ask(commit({"dist": 231.0}))
    assert ask(async_panel.calib.read_snapshot()) == after


def test_mock_that_a_test_changes_is_what_the_guard_reads(async_panel, run_engine):
    moved = replace(ask(async_panel.calib.read_snapshot()), status="MOVED")

    async def change():
        set_mock_value(async_panel.calib.snapshot, moved.as_json())

    ask(change())
    assert ask(async_panel.calib.read_snapshot()).status == "MOVED"
    assert async_panel.calib.twin().read_snapshot().status == "MOVED"


def test_guard_runs_with_a_mock(async_panel, take):
    documents_of = take(calibration_guard(bp.count([async_panel], num=2)))
    assert documents_of["stop"][0]["exit_status"] == "success"
