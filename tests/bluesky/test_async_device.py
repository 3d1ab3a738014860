"""The geometry in ophyd-async: recorded by runs and set, together with pyepics in one process."""

import asyncio
import contextlib
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import FailedStatus
from bluesky.run_engine import call_in_bluesky_event_loop
from event_model import DocumentNames, compose_run, schema_validators
from ophyd_async.core import (
    AsyncStatus,
    StandardReadable,
    StandardReadableFormat,
    StaticPathProvider,
    TriggerInfo,
    UUIDFilenameProvider,
    soft_signal_rw,
)
from ophyd_async.core import NotConnectedError as NotThereError
from ophyd_async.epics.core import epics_signal_w
from ophyd_async.sim import SimBlobDetector

import distorted
import speak
from live import wait_for
from panels import FlatPanel
from ponikeeper.errors import GeometryFileError, NoGeometryError, NotConnectedError, RecordError, RefusedError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Activate, Commit
from ponikeeper.system.file_hash import file_entry
from ponikeeper_client import documents
from ponikeeper_client.async_device import AsyncCalibrationData, AsyncCalibrationMixin, calibrations
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.guard._state import read_state, recorded_state
from ponikeeper_client.plans import at_positions
from ponikeeper_client.recall import recorded
from ponikeeper_client.xpdacq import calibration_md_wrapper
from scripted import attempt, commit
from speak import GEOMETRY, commit_text
from writer import is_mixed, number_of, whole, writing

# of other tests, which spoke by aioca in a thread of their own before pyepics' context was there to be shared
pytestmark = pytest.mark.filterwarnings("ignore:There is already a CA context for this thread")

WHOLE = Geometry(**{**GEOMETRY, "dist": 0.4567890123456789, "detector_config": {"orientation": 4}})


class Detector(AsyncCalibrationMixin, StandardReadable):
    """A detector with one value, and the geometry as its configuration."""

    def __init__(self, prefix, name="", **options):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.total = soft_signal_rw(float, 1.0)
        self.calib = AsyncCalibrationData(f"{prefix}Calib:", **options)
        super().__init__(name=name)


@pytest.fixture
def connect(run_engine):
    """Connect to a detector, in the loop of the RunEngine."""

    def connected(prefix, name="pe1", **options):
        detector = Detector(prefix.removesuffix("Calib:"), name, **options)
        ask(detector.connect(timeout=20))
        return detector

    return connected


@pytest.fixture
def empty(connect, prefix):
    """A detector whose geometry was never committed."""
    return connect(prefix)


@pytest.fixture
def panel(empty):
    assert speak.request(empty.calib.prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"
    return empty


def ask(awaitable):
    """Await something in the loop of the RunEngine."""
    return call_in_bluesky_event_loop(awaitable)


def release(detector):
    """Destroy the ophyd device that the guard uses after it has connected; otherwise pyepics prints errors."""
    twin = detector.calib.twin()
    twin.wait_for_connection(timeout=30)
    twin.destroy()


def put(detector, value, **options):
    """Set the geometry, and wait until it is active."""

    async def done():
        await detector.calib.set(value, **options)

    ask(done())


def values(detector):
    """Return the configuration by plain names."""
    start = f"{detector.name}-calib-"
    return {key.removeprefix(start): row["value"] for key, row in ask(detector.read_configuration()).items()}


def configured(descriptor, name="pe1"):
    """Return the calibration in a descriptor, by plain names."""
    data = descriptor["configuration"][name]["data"]
    return {key.removeprefix(f"{name}-calib-"): value for key, value in data.items()}


def test_count_records_the_geometry_whole_and_bit_exact(panel, take):
    put(panel, WHOLE)
    run = take(bp.count([panel], 3))
    (descriptor,) = run["descriptor"]
    schema_validators[DocumentNames.descriptor].validate(descriptor)
    assert documents.geometry(descriptor) == WHOLE
    assert len(run["event"]) == 3
    found = configured(descriptor)
    assert (found["revision"], found["serial"], found["status"]) == (2, 2, "UNWATCHED")
    assert found["revision_uid"] == ask(panel.calib.read_snapshot()).uid


def test_serial_and_status_are_read_with_each_event(connect, prefix, take):
    panel = connect(prefix, per_event=True)
    assert speak.request(prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"

    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel])
        retract = f'{{"v": 1, "request": "{prefix}", "op": "retract", "revision": 1, "reason": "it was off"}}'
        assert speak.request(prefix, retract)["outcome"] == "accepted"
        yield from bps.trigger_and_read([panel])

    run = take(plan())
    (descriptor,) = run["descriptor"]
    schema_validators[DocumentNames.descriptor].validate(descriptor)
    keys = ("pe1-calib-serial", "pe1-calib-status")
    assert [tuple(event["data"][key] for key in keys) for event in run["event"]] == [(1, "UNWATCHED"), (1, "RETRACTED")]
    assert [(each.status, each.seq_nums) for each in recorded(run)] == [("UNWATCHED", (1,)), ("RETRACTED", (2,))]


def test_run_without_a_guard_warns_of_a_geometry_that_does_not_apply(empty, take, caplog):
    take(bp.count([empty], 3))
    guarded = take(calibration_guard(bp.count([empty], 2)))
    release(empty)
    by_logger = [(record.name, "UNSET" in record.message) for record in caplog.records]
    assert by_logger == [("ponikeeper_client.device", True), ("ponikeeper_client.guard", True)]
    assert len(guarded["event"]) == 2


def test_run_is_recalled_with_its_prefix_and_revision(panel, take):
    run = take(bp.count([panel]))
    (found,) = recorded([(kind, document) for kind, each in run.items() for document in each])
    assert found.geometry == Geometry(**GEOMETRY)
    assert (found.prefix, found.revision, found.calib) == (panel.calib.prefix, 1, "calib")


def test_recorded_values_are_those_of_the_ophyd_device(panel, make, take):
    other = make(FlatPanel, panel.calib.prefix.removesuffix("Calib:"), "pe2")
    (descriptor,) = take(bp.count([panel, other]))["descriptor"]
    ours, theirs = (descriptor["configuration"][name] for name in ("pe1", "pe2"))
    for part in ("data", "timestamps", "data_keys"):
        expected = {key: value for key, value in theirs[part].items() if key.startswith("pe2_calib_")}
        assert {key.replace("pe1-calib-", "pe2_calib_"): value for key, value in ours[part].items()} == expected


def test_names_are_joined_as_the_device_joins_them(panel, take):
    panel.set_name("pe1", child_name_separator="_")
    (descriptor,) = take(bp.count([panel]))["descriptor"]
    assert descriptor["configuration"]["pe1"]["data"]["pe1_calib_dist"] == GEOMETRY["dist"]
    assert documents.geometry(descriptor) == Geometry(**GEOMETRY)


def test_unset_is_recorded_without_numbers_and_the_run_goes_on(empty, take):
    run = take(bp.count([empty]))
    (descriptor,) = run["descriptor"]
    schema_validators[DocumentNames.descriptor].validate(descriptor)
    found = configured(descriptor)
    assert (found["status"], found["revision"]) == ("UNSET", 0)
    assert not set(NAMES) & set(found)
    with pytest.raises(NoGeometryError, match="UNSET"):
        documents.geometry(descriptor)
    assert run["stop"][0]["exit_status"] == "success"


def test_geometry_set_in_a_plan_is_one_revision_and_recorded_by_the_next_run(empty, take):
    def plan():
        yield from bps.mv(empty.calib, WHOLE)
        yield from bps.mv(empty.calib, {"dist": 0.5, "poni1": 0.6})
        yield from bp.count([empty])

    (descriptor,) = take(plan())["descriptor"]
    found = documents.geometry(descriptor)
    assert (found.dist, found.poni1, found.poni2) == (0.5, 0.6, WHOLE.poni2)
    assert configured(descriptor)["revision"] == 2


def test_change_within_a_run_is_in_a_new_descriptor(panel, take):
    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel])
        yield from bps.abs_set(panel.calib, {"dist": 0.5}, wait=True)
        yield from bps.configure(panel, {})
        yield from bps.trigger_and_read([panel])

    run = take(plan())
    first, second = run["descriptor"]
    assert [documents.geometry(descriptor).dist for descriptor in (first, second)] == [GEOMETRY["dist"], 0.5]
    assert [event["descriptor"] for event in run["event"]] == [first["uid"], second["uid"]]


def test_values_that_are_to_be_configured_are_refused_before_anything_is_set(panel, take):
    with pytest.raises(ValueError, match=r"pe1: calib.dist cannot be configured: set them with bps.abs_set"):
        take(bps.configure(panel, {"calib.dist": 0.5}))
    assert values(panel)["revision"] == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"wavelength": 0.166}, "wavelength 0.166 m looks like angstrom: write 1.66e-11"),
        ({"dist": float("nan")}, "dist nan is not finite"),
        ({"distance": 0.2}, "did you mean dist"),
    ],
)
def test_refusal_fails_the_plan_with_its_reasons_and_leaves_the_geometry(panel, take, value, reason):
    with pytest.raises(FailedStatus) as failed:
        take(bps.mv(panel.calib, value))
    assert isinstance(failed.value.__cause__, RefusedError)
    assert reason in str(failed.value.__cause__)
    assert values(panel)["revision"] == 1


def test_set_is_refused_if_another_revision_is_active(panel):
    with pytest.raises(RefusedError, match="revision"):
        put(panel, {"dist": 0.5}, expect_revision=7)
    put(panel, {"dist": 0.5}, expect_revision=1)
    assert values(panel)["dist"] == 0.5


def test_any_request_is_a_transaction(panel):
    put(panel, WHOLE)
    result = ask(panel.calib.transact(Activate(1)))
    assert (result.outcome, result.revision) == ("accepted", 1)
    assert (values(panel)["revision"], values(panel)["serial"]) == (1, 3)


@pytest.fixture
def own(make_ioc):
    """An IOC for one test, with an active geometry."""
    ioc = make_ioc().start()
    assert speak.request(ioc.prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"
    return ioc


@contextlib.contextmanager
def hung(ioc):
    ioc.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        ioc.signal(signal.SIGCONT)


def test_run_with_a_hung_ioc_fails_instead_of_recording_old_values(own, connect, take):
    panel = connect(own.prefix, timeout=1.0)
    with hung(own), pytest.raises(NotConnectedError, match=f"{own.prefix}Snapshot_RBV does not answer within 1 s"):
        take(bp.count([panel]))
    assert documents.geometry(take(bp.count([panel]))["descriptor"][0]) == Geometry(**GEOMETRY)


def test_data_keys_are_known_without_the_ioc_once_a_geometry_was_read(own, connect):
    panel = connect(own.prefix, timeout=1.0)

    before, read = ask(panel.calib.describe_configuration()), ask(panel.calib.read_configuration())
    with hung(own):
        assert ask(panel.calib.describe_configuration()) == before
        with pytest.raises(NotConnectedError):
            ask(panel.calib.read_configuration())
    assert set(before) == set(read)


def test_killed_ioc_fails_the_run_naming_the_pv_and_is_read_again_after_its_restart(own, connect, take):
    panel = connect(own.prefix, timeout=1.0)
    own.kill()
    with pytest.raises(NotConnectedError, match=f"{own.prefix}Snapshot_RBV does not answer within 1 s"):
        take(bp.count([panel]))
    own.start()

    def at_last(act):
        """Repeat an action until the IOC answers: a busy machine may need more than a second."""

        def answered():
            with contextlib.suppress(NotConnectedError):
                return [act()]
            return None

        return wait_for(answered)[0]

    (descriptor,) = at_last(lambda: take(bp.count([panel])))["descriptor"]
    assert documents.geometry(descriptor) == Geometry(**GEOMETRY)
    at_last(lambda: put(panel, {"dist": 0.3}))
    assert at_last(lambda: values(panel))["dist"] == 0.3


def test_disconnection_can_be_recorded_as_unknown_without_numbers(own, connect, take):
    panel = connect(own.prefix, timeout=1.0, on_disconnect="record")
    with hung(own):
        (descriptor,) = take(bp.count([panel]))["descriptor"]
    found = configured(descriptor)
    assert (found["status"], found["revision"]) == ("UNKNOWN", 0)
    assert not set(NAMES) & set(found)
    assert values(panel)["dist"] == GEOMETRY["dist"]


def test_set_on_a_hung_ioc_fails_and_commits_nothing(own, connect):
    panel = connect(own.prefix, timeout=1.0)
    with hung(own), pytest.raises(NotConnectedError, match="Snapshot_RBV does not answer"):
        put(panel, {"dist": 0.3})
    assert values(panel)["revision"] == 1


def test_history_is_used_in_the_session(panel, tmp_path):
    path = tmp_path / "whole.poni"
    path.write_text(poni.write(WHOLE))
    put(panel, str(path))
    assert (values(panel)["revision"], values(panel)["dist"]) == (2, WHOLE.dist)
    assert ask(panel.calib.undo(expect_serial=2)).revision == values(panel)["revision"] == 1
    assert ask(panel.calib.activate(2)).revision == values(panel)["revision"] == 2
    with pytest.raises(RefusedError, match="the configuration has no links"):
        ask(panel.calib.record_position())


def test_request_to_a_hung_ioc_is_unknown_and_safe_to_send_again(own, connect):
    panel = connect(own.prefix, timeout=1.0)
    ask(panel.calib.transact(Commit({"dist": 0.77}, edit=True)))
    request = Activate(1, request="once")
    with (
        hung(own),
        pytest.raises(NotConnectedError, match=r"Results_RBV has no result after 2 s: .* same id, once"),
    ):
        ask(panel.calib.transact(request, timeout=2.0))
    assert ask(panel.calib.transact(request)).outcome == "accepted"
    assert values(panel)["serial"] == 3  # it was run once, whichever of its puts arrived


def test_request_that_was_accepted_before_a_restart_has_its_result(own, connect):
    panel = connect(own.prefix, timeout=1.0)
    first = ask(panel.calib.transact(Activate(1, request="once")))
    own.kill()
    own.start()
    again = ask(panel.calib.transact(Activate(1, request="once")))
    assert (again.revision, again.serial) == (first.revision, first.serial)


def test_unknown_prefix_is_named_when_it_is_connected(run_engine):
    lost = Detector("NO{Such}", name="lost")
    with pytest.raises(NotThereError, match=r"NO{Such}Calib:Snapshot_RBV"):
        ask(lost.connect(timeout=1))


def test_request_that_may_not_be_written_is_refused_naming_the_pv(prefix, run_engine):
    calib = AsyncCalibrationData(prefix, name="c")
    calib.request = epics_signal_w(str, f"{prefix}Message_RBV")  # as behind a gateway that forbids writing
    ask(calib.connect(timeout=20))
    with pytest.raises(RefusedError, match=r"Message_RBV may not be written from here: .*denied"):
        ask(calib.transact(Activate(1)))


def test_unknown_reaction_to_a_disconnection_is_refused():
    with pytest.raises(ValueError, match='on_disconnect=\'ignore\' is unknown: expected "raise" or "record"'):
        AsyncCalibrationData("X", on_disconnect="ignore")


def check_races(ioc, connect, take, reads, runs):
    panel = connect(ioc.prefix)
    with writing(ioc.prefix):
        wait_for(lambda: values(panel)["serial"] > 10)
        seen = [values(panel) for _ in range(reads)]
        for _ in range(runs):
            (descriptor,) = take(bp.count([panel]))["descriptor"]
            seen.append(configured(descriptor))
            assert documents.geometry(descriptor) == whole(number_of(seen[-1]["detector"]))
    serials = [each["serial"] for each in seen]
    print(f"\n{reads} reads and {runs} runs saw {len(set(serials))} of {serials[-1]} activations")
    assert sum(map(is_mixed, seen)) == 0
    assert serials == sorted(serials), "a serial went back"
    assert len(set(serials)) > 20


def test_no_read_and_no_run_mixes_two_geometries(make_ioc, connect, take):
    check_races(make_ioc().start(), connect, take, reads=400, runs=10)


@pytest.mark.campaign
def test_no_read_and_no_run_mixes_two_geometries_at_length(make_ioc, connect, take):
    check_races(make_ioc().start(), connect, take, reads=5000, runs=100)


def test_loop_goes_on_while_an_ioc_does_not_answer(own, connect):
    panel = connect(own.prefix, timeout=1.0)

    async def turns():
        reading = asyncio.ensure_future(panel.read_configuration())
        count = 0
        while not reading.done():
            await asyncio.sleep(0.01)
            count += 1
        with pytest.raises(NotConnectedError):
            reading.result()
        return count

    with hung(own):
        assert ask(turns()) > 20


def test_calibrations_of_a_detector_are_found(panel):
    assert calibrations(panel) == calibrations(panel.calib) == [panel.calib]
    assert calibrations(panel.total) == calibrations(object()) == []


class Plain(StandardReadable):
    """A detector with the geometry as an ordinary child."""

    def __init__(self, prefix, name=""):
        with self.add_children_as_readables():
            self.calib = AsyncCalibrationData(f"{prefix}Calib:")
        super().__init__(name=name)


@pytest.fixture
def plain(panel):
    detector = Plain(panel.calib.prefix.removesuffix("Calib:"), "pe1")
    ask(detector.connect(timeout=20))
    return detector


def test_readable_child_is_recorded_without_the_mixin(plain, take):
    (descriptor,) = take(bp.count([plain]))["descriptor"]
    assert documents.geometry(descriptor) == Geometry(**GEOMETRY)


def test_guard_refuses_a_detector_that_cannot_record_a_change(plain, take):
    with pytest.raises(RecordError, match=r"pe1 could not record a change of pe1-calib .*Mixin, Plain\)"):
        take(calibration_guard(bp.count([plain])))


class Scripted(Detector):
    """A detector that runs an action at its n-th trigger or reading."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.script = {}
        self.done = {"trigger": 0, "read": 0}

    def happen(self, what):
        self.done[what] += 1
        self.script.pop((what, self.done[what]), lambda: None)()

    @AsyncStatus.wrap
    async def trigger(self):
        self.happen("trigger")

    async def read(self):
        found = await super().read()
        self.happen("read")
        return found


@pytest.fixture
def scripted(panel):
    detector = Scripted(panel.calib.prefix.removesuffix("Calib:"), "pe1")
    ask(detector.connect(timeout=20))
    yield detector
    release(detector)


def of_events(run, key="dist"):
    """Return a recorded value for each event, in order."""
    descriptors = {descriptor["uid"]: configured(descriptor) for descriptor in run["descriptor"]}
    return [descriptors[event["descriptor"]][key] for event in run.get("event", ())]


def test_guard_records_a_change_in_a_new_descriptor(scripted, take):
    scripted.script[("trigger", 3)] = lambda: commit(scripted, 0.5)
    run = take(calibration_guard(bp.count([scripted], 4)))
    assert of_events(run) == [GEOMETRY["dist"], GEOMETRY["dist"], 0.5, 0.5]
    assert len(run["descriptor"]) == 2


def test_calibration_of_ophyd_async_can_be_chosen(scripted, take):
    scripted.script[("trigger", 2)] = lambda: commit(scripted, 0.5)
    guarded = calibration_guard(bp.count([scripted], 2), [scripted.calib])
    run = take(calibration_md_wrapper(guarded, scripted.calib))
    assert of_events(run) == [GEOMETRY["dist"], 0.5]
    assert run["start"][0]["calibration_md"]["dist"] == GEOMETRY["dist"]


def test_guard_takes_an_event_again_during_whose_reading_the_geometry_changes(scripted, take):
    scripted.script[("read", 1)] = lambda: commit(scripted, 0.5)
    scripted.script[("read", 4)] = lambda: commit(scripted, 0.6)
    run = take(calibration_guard(bp.count([scripted], 3)))
    assert of_events(run) == [0.5, 0.5, 0.6]
    assert [event["seq_num"] for event in run["event"]] == [1, 2, 3]


def test_guard_reads_what_a_descriptor_recorded(scripted, take):
    (descriptor,) = take(bp.count([scripted]))["descriptor"]
    found = recorded_state(descriptor, "pe1-calib")
    assert found == read_state(scripted.calib.twin())
    assert (found.serial, found.status) == (1, "UNWATCHED")


def test_each_position_is_a_run_of_its_own_with_its_geometry(make_ioc, motors, stage, connect, take):
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    ioc = make_ioc(more={"{Det:1}Calib:": links}, other_ports=(motors.port,)).start()
    panel = connect(ioc.prefix)
    twin = panel.calib.twin()
    places = {"near": 200.0, "far": 1000.0}
    for place in places.values():
        stage.set(place).wait(timeout=30)
        wait_for(lambda place=place: (link := twin.read_links()[0]).value == place and not link.unknown_because)
        put(panel, {**GEOMETRY, "dist": place / 1000})
    run = take(at_positions([panel], stage, places, num=2))
    assert of_events(run) == [0.2, 0.2, 1.0, 1.0]
    assert len(run["start"]) == 2
    release(panel)


def test_guard_fails_a_run_where_a_change_is_to_fail_it(scripted, run_engine):
    scripted.script[("trigger", 2)] = lambda: commit(scripted, 0.5)
    run, message = attempt(run_engine, calibration_guard(bp.count([scripted], 3), on_change="fail"))
    assert "pe1-calib: the geometry changed during the run, from serial 1 to 2" in message
    assert of_events(run) == [GEOMETRY["dist"]]


def test_guard_fails_a_run_over_a_status_that_is_to_fail_it(scripted, run_engine):
    text = '{"v": 1, "request": "r", "op": "retract", "revision": 1, "reason": "it was off"}'
    scripted.script[("trigger", 2)] = lambda: speak.request(scripted.calib.prefix, text)
    run, message = attempt(run_engine, calibration_guard(bp.count([scripted], 3), on_status="fail"))
    assert "pe1-calib: the status is RETRACTED" in message
    assert of_events(run, "status") == ["UNWATCHED"]


class Blob(AsyncCalibrationMixin, SimBlobDetector):
    """A detector that writes its images to files."""

    def __init__(self, prefix, folder):
        self.calib = AsyncCalibrationData(prefix)
        super().__init__(StaticPathProvider(UUIDFilenameProvider(), folder), name="pe1")


@pytest.fixture
def blob(panel, tmp_path):
    detector = Blob(panel.calib.prefix, tmp_path)
    ask(detector.connect(timeout=20))
    yield detector
    release(detector)


def at_two_geometries(blob, *, prepares):
    @bpp.stage_decorator([blob])
    @bpp.run_decorator()
    def plan():
        if prepares:
            yield from bps.prepare(blob, TriggerInfo(livetime=0.01), wait=True)
        for dist in (0.4, 0.5):
            yield from bps.abs_set(blob.calib, {"dist": dist}, wait=True)
            yield from bps.trigger_and_read([blob])

    return plan()


def test_detector_that_writes_files_records_the_geometry_and_its_change(blob, take):
    run = take(calibration_guard(at_two_geometries(blob, prepares=True)))
    assert of_events(run) == [0.4, 0.5]
    assert run["stream_resource"]
    assert run["stream_datum"]


def test_each_geometry_can_have_a_run_with_its_own_files_and_start_document(blob, take):
    plan = at_two_geometries(blob, prepares=False)
    run = take(calibration_md_wrapper(calibration_guard(plan, renew_by="new_run"), on_change="fail"))
    assert of_events(run) == [0.4, 0.5]
    first, *measured = run["start"]
    assert [start["calibration_md"]["dist"] for start in run["start"]] == [GEOMETRY["dist"], 0.4, 0.5]
    files = {each["uri"]: each["run_start"] for each in run["stream_resource"]}
    assert [*files.values()] == [start["uid"] for start in measured]
    assert [start["continues_run"] for start in measured] == [first["uid"], measured[0]["uid"]]


def test_detector_that_was_prepared_for_a_run_cannot_go_on_in_another_one(blob, run_engine):
    plan = calibration_guard(at_two_geometries(blob, prepares=True), renew_by="new_run")
    _, message = attempt(run_engine, plan, RecordError)
    assert "pe1 was prepared for the run that is open; take one run for each geometry" in message


def test_guard_ignores_other_devices_of_ophyd_async(panel, take):
    run = take(calibration_guard(bp.count([panel.total])))
    assert run["stop"][0]["exit_status"] == "success"


def test_without_ophyd_async_the_install_line_is_printed():
    program = (
        "import sys; sys.modules['ophyd_async'] = None\n"
        "try:\n"
        "    import ponikeeper_client.async_device\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "MissingOphydAsyncError ophyd-async is not installed: pip install ophyd-async\n"


# files of a detector: their SHA-256 goes with the commit


@pytest.fixture(params=["ways: set", "ways: set of values", "ways: transact"])
def send(request):
    """Return a function that commits a geometry, and a mask, in one of the ways that a device has."""

    async def sent(calib, geometry, mask):
        match request.param:
            case "ways: set":
                await calib.set(geometry, mask=mask)
            case "ways: set of values":
                await calib.set(geometry.as_dict(), mask=mask)
            case _:
                files = {} if mask is None else {"mask": file_entry(mask)}
                await calib.transact(Commit(geometry.as_dict(), files=files))

    return lambda *arguments: ask(sent(*arguments))


@pytest.fixture(params=sorted(distorted.MAKERS))
def of_files(request, tmp_path):
    """The geometry of a detector that files describe."""
    return poni.read(distorted.saved(distorted.MAKERS[request.param](tmp_path), tmp_path).read_bytes())


def test_commit_has_the_hash_of_each_file_and_of_the_mask(panel, of_files, send, tmp_path):
    mask = tmp_path / "mask.npy"
    np.save(mask, np.zeros((60, 80), np.int8))
    send(panel.calib, of_files, mask)
    stored = speak.snapshot(panel.calib.prefix)["provenance"]["files"]
    named = {
        key: value for key, value in of_files.detector_config.items() if key.lower().endswith(("file", "filename"))
    }
    described = stored.pop("detector", None)
    entries = [*stored.values(), *([described] if described else [])]
    paths = {*map(str, named.values()), str(mask)}
    assert {entry["path"] for entry in entries} == paths
    for entry in entries:
        assert entry["sha256"] == hashlib.sha256(Path(entry["path"]).read_bytes()).hexdigest()
    (result,) = recorded(taken_of(panel))
    assert {entry["path"] for entry in result.files.values()} == paths


def taken_of(panel):
    """Return the documents of a run of which only the configuration matters."""
    reading, keys = ask(panel.read_configuration()), ask(panel.describe_configuration())
    run = compose_run()
    configuration = {
        "data": {key: row["value"] for key, row in reading.items()},
        "timestamps": {key: row["timestamp"] for key, row in reading.items()},
        "data_keys": keys,
    }
    total = {"source": "sim", "dtype": "number", "shape": []}
    described = run.compose_descriptor(
        "primary", {"total": total}, object_keys={panel.name: ["total"]}, configuration={panel.name: configuration}
    )
    event = described.compose_event(data={"total": 1.0}, timestamps={"total": 0.0})
    return [("start", run.start_doc), ("descriptor", described.descriptor_doc), ("event", event)]


def test_commit_of_a_file_that_is_not_there_sends_nothing(panel, of_files, send):
    before = speak.snapshot(panel.calib.prefix)
    path = next(Path(value) for value in of_files.detector_config.values() if isinstance(value, str) and "/" in value)
    path.unlink()
    with pytest.raises((GeometryFileError, FailedStatus), match=f"{path} cannot be read"):
        send(panel.calib, of_files, None)
    assert speak.snapshot(panel.calib.prefix) == before
