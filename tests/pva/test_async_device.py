"""ophyd-async over PVAccess: the structure is recorded and set, and its PVs are signals."""

import asyncio
import signal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky import FailedStatus, RunEngine
from bluesky.run_engine import call_in_bluesky_event_loop as ask
from ophyd_async.core import StandardReadable, StandardReadableFormat, StrictEnum, observe_value, soft_signal_rw
from ophyd_async.epics.core import epics_signal_r, epics_signal_rw

import speak
from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Activate, Snapshot
from ponikeeper.protocol.geometry_structure import NAME
from ponikeeper_client import _pva_geometry, documents
from ponikeeper_client.async_device import AsyncCalibrationData, AsyncCalibrationMixin
from ponikeeper_client.recall import recorded
from pva_clients import connected, put, settings
from speak import GEOMETRY

# of other tests, which spoke by aioca in a thread of their own before pyepics' context was there to be shared
pytestmark = pytest.mark.filterwarnings("ignore:There is already a CA context for this thread")

WHOLE = Geometry(**{**GEOMETRY, "dist": 0.4567890123456789, "detector_config": {"orientation": 4}})


class Detector(AsyncCalibrationMixin, StandardReadable):
    """A detector with one value, and the geometry as its configuration."""

    def __init__(self, prefix, name=""):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.total = soft_signal_rw(float, 1.0)
        self.calib = AsyncCalibrationData(prefix, timeout=1.0)
        super().__init__(name=name)


@pytest.fixture(scope="module")
def run_engine():
    return RunEngine({}, context_managers=[])


@pytest.fixture(scope="module", autouse=True)
def _environment(ioc):
    """The clients of ophyd-async and of ponikeeper read the environment when they connect first."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(ioc.pva_port).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def panel(ioc, client, run_engine):
    assert put(client, f"{ioc.prefix}{NAME}", {**GEOMETRY, "detector_config": "{}"}) is None
    detector = Detector(f"pva://{ioc.prefix}", "pe1")
    ask(detector.connect(timeout=20))
    return detector


def take(run_engine, plan):
    """Run a plan, and return its documents."""
    run = []
    run_engine(plan, lambda kind, document: run.append((kind, document)))
    return run


def test_run_records_the_structure_and_is_recalled(ioc, panel, run_engine):
    run = take(run_engine, bps.mv(panel.calib, WHOLE)) + take(run_engine, bp.count([panel], 2))
    (found,) = recorded(run)
    assert found.geometry == WHOLE
    present = Snapshot.from_json(speak.get(f"{ioc.prefix}Snapshot_RBV"))
    assert (found.prefix, found.revision, found.uid) == (ioc.prefix, present.revision, present.uid)
    assert ask(panel.calib.read_snapshot()) == present
    (descriptor,) = [document for kind, document in run if kind == "descriptor"]
    assert documents.geometry(descriptor) == WHOLE


def test_record_is_that_of_channel_access(ioc, panel, run_engine):
    other = Detector(f"ca://{ioc.prefix}", "pe1")
    ask(other.connect(timeout=20))
    ours, theirs = (ask(each.read_configuration()) for each in (panel, other))
    assert ours == theirs
    assert ask(panel.describe_configuration()) == ask(other.describe_configuration())


def test_set_is_a_transaction_and_a_refusal_has_its_reasons(panel, run_engine):
    take(run_engine, bps.mv(panel.calib, {"dist": 0.5}))
    snapshot = ask(panel.calib.read_snapshot())
    assert snapshot.geometry.dist == 0.5
    with pytest.raises(FailedStatus) as failed:
        take(run_engine, bps.mv(panel.calib, {"wavelength": 0.166}))
    assert isinstance(failed.value.__cause__, RefusedError)
    assert "wavelength 0.166 m looks like angstrom: write 1.66e-11" in str(failed.value.__cause__)
    result = ask(panel.calib.transact(Activate(1)))
    assert (result.outcome, result.revision) == ("accepted", 1)


def test_hung_ioc_is_named_and_read_again(ioc, panel):
    ioc.signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotConnectedError, match=f"{ioc.prefix}Snapshot_RBV does not answer within 1 s"):
            ask(panel.calib.read_snapshot())
    finally:
        ioc.signal(signal.SIGCONT)
    assert ask(panel.calib.read_snapshot()).revision


def test_clients_of_loops_that_are_closed_are_closed(ioc, monkeypatch):
    monkeypatch.setenv("EPICS_PVA_NAME_SERVERS", f"127.0.0.1:{ioc.pva_port}")
    for _ in range(5):
        assert asyncio.run(_pva_geometry.read_geometry(ioc.prefix)).prefix == ioc.prefix
    assert sum(loop.is_closed() for loop in _pva_geometry._contexts) == 1, "the last one"


class Follow(StrictEnum):
    """The states of ``Follow``."""

    OFF = "Off"
    ON = "On"


def test_pvs_are_signals_of_ophyd_async_with_their_metadata(ioc, panel, run_engine):
    dist = epics_signal_rw(float, f"pva://{ioc.prefix}Dist_RBV", f"pva://{ioc.prefix}Dist", name="dist")
    follow = epics_signal_rw(Follow, f"pva://{ioc.prefix}Follow_RBV", f"pva://{ioc.prefix}Follow", name="follow")
    reason = epics_signal_r(str, f"pva://{ioc.prefix}Reason_RBV", name="reason")
    for each in (dist, follow, reason):
        ask(each.connect(timeout=20))

    async def work():
        await dist.set(0.31)
        await follow.set(Follow.OFF)
        return await dist.get_value(), await follow.get_value(), await reason.get_value(), await dist.describe()

    async def watch():
        await dist.set(0.31)
        updates = observe_value(dist, timeout=20)
        seen = [await anext(updates)]
        await dist.set(0.32)
        with pytest.raises(Exception, match=r"dist 234\.5 m looks like millimetre: write 0\.2345"):
            await dist.set(234.5)
        await dist.set(0.33)
        while seen[-1] != 0.33:
            seen.append(await anext(updates))
        await updates.aclose()
        return seen

    assert ask(watch()) == [0.31, 0.32, 0.33]
    value, state, text, described = ask(work())
    assert (value, state) == (0.31, Follow.OFF)
    assert text == speak.get(f"{ioc.prefix}Reason_RBV")
    assert (described["dist"]["units"], described["dist"]["precision"]) == ("m", 9)
    with connected(ioc.pva_port) as client:
        assert client.get(f"{ioc.prefix}{NAME}").dist == 0.31


def test_unknown_scheme_says_which_there_are():
    with pytest.raises(ValueError, match='expected "ca://", "pva://", or only the prefix'):
        AsyncCalibrationData("tango://P:")
