"""Runs of bluesky record in each descriptor the geometry with which its images were taken."""

import signal

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky import FailedStatus
from bluesky_darkframes.sim import DiffractionDetector
from event_model import DocumentNames, schema_validators
from ophyd.sim import motor

import speak
from panels import AnyPanel, FlatPanel, with_calibration
from ponikeeper.errors import NoGeometryError, NotConnectedError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES
from ponikeeper_client import documents
from speak import GEOMETRY, commit_text


@pytest.fixture
def empty(make, prefix):
    """A detector whose geometry was never committed."""
    return make(FlatPanel, prefix.removesuffix("Calib:"), "pe1")


@pytest.fixture
def panel(empty):
    assert speak.request(empty.calib.prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"
    return empty


def recorded(descriptor, name="pe1", calib="calib"):
    """Return the values of a calibration in a descriptor, by their short names."""
    start = f"{name}_{calib}_"
    data = descriptor["configuration"][name]["data"]
    return {key.removeprefix(start): value for key, value in data.items() if key.startswith(start)}


def test_count_records_the_geometry_whole_and_bit_exact(panel, take):
    (descriptor,) = take(bp.count([panel], 3))["descriptor"]
    schema_validators[DocumentNames.descriptor].validate(descriptor)
    assert documents.geometry(descriptor) == Geometry(**GEOMETRY)
    found = recorded(descriptor)
    assert (found["revision"], found["serial"], found["status"]) == (1, 1, "UNWATCHED")
    assert found["revision_uid"] == panel.calib.read_snapshot().uid


def test_scan_records_the_geometry(panel, take):
    run = take(bp.scan([panel], motor, -1, 1, 3))
    assert [documents.geometry(descriptor) for descriptor in run["descriptor"]] == [Geometry(**GEOMETRY)]
    assert len(run["event"]) == 3


@pytest.mark.parametrize("cls", [AnyPanel, DiffractionDetector])
def test_any_detector_class_records_it_without_the_mixin(panel, make, take, cls):
    detector = make(with_calibration(cls, panel.calib.prefix), "", "area_detector")
    (descriptor,) = take(bp.count([detector]))["descriptor"]
    assert documents.geometry(descriptor) == Geometry(**GEOMETRY)


def test_two_detectors_record_each_its_own(panel, make, fresh_prefix, take):
    other = make(FlatPanel, fresh_prefix().removesuffix("Calib:"), "pe2")
    other.calib.set(Geometry(**{**GEOMETRY, "dist": 0.9})).wait(timeout=30)
    (descriptor,) = take(bp.count([panel, other]))["descriptor"]
    found = [documents.geometry(descriptor, name).dist for name in ("pe1", "pe2")]
    assert found == [GEOMETRY["dist"], 0.9]


def test_unset_is_recorded_without_numbers_and_the_run_goes_on(empty, take):
    run = take(bp.count([empty]))
    (descriptor,) = run["descriptor"]
    schema_validators[DocumentNames.descriptor].validate(descriptor)
    found = recorded(descriptor)
    assert (found["status"], found["revision"]) == ("UNSET", 0)
    assert not set(NAMES) & set(found)
    with pytest.raises(NoGeometryError, match="UNSET"):
        documents.geometry(descriptor)
    assert run["stop"][0]["exit_status"] == "success"


def test_geometry_of_an_empty_store_is_configured_in_a_plan(empty, take):
    whole = Geometry(**GEOMETRY)

    def plan():
        yield from bps.configure(empty, {"calib": whole})
        yield from bp.count([empty])

    (descriptor,) = take(plan())["descriptor"]
    assert documents.geometry(descriptor) == whole


def test_configure_within_a_run_makes_a_new_descriptor_with_the_new_geometry(panel, take):
    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel])
        yield from bps.configure(panel, {"calib.dist": 0.5, "calib.poni1": 0.6})
        yield from bps.trigger_and_read([panel])

    run = take(plan())
    first, second = run["descriptor"]
    assert [documents.geometry(descriptor).dist for descriptor in (first, second)] == [GEOMETRY["dist"], 0.5]
    assert recorded(second)["revision"] == 2  # one transaction
    assert [event["descriptor"] for event in run["event"]] == [first["uid"], second["uid"]]


def test_value_moved_in_a_plan_is_recorded_by_the_next_run(panel, take):
    def plan():
        yield from bps.mv(panel.calib.dist, 0.31, panel.calib.poni1, 0.32)
        yield from bp.count([panel])

    found = documents.geometry(take(plan())["descriptor"][0])
    assert (found.dist, found.poni1) == (0.31, 0.32)


def test_move_that_the_ioc_refuses_fails_the_plan_with_its_reason(panel, take):
    with pytest.raises(FailedStatus) as failed:
        take(bps.mv(panel.calib.wavelength, 0.166))
    assert isinstance(failed.value.__cause__, RefusedError)
    assert "looks like angstrom: write 1.66e-11" in str(failed.value.__cause__)


def test_configuration_that_the_ioc_refuses_fails_the_plan_with_its_reason(panel, take):
    with pytest.raises(RefusedError, match="looks like angstrom"):
        take(bps.configure(panel, {"calib.wavelength": 0.166}))


def test_run_with_a_hung_ioc_fails_instead_of_recording_old_values(make_ioc, make, take):
    ioc = make_ioc().start()
    panel = make(FlatPanel, ioc.prefix.removesuffix("Calib:"), "pe1")
    panel.calib.set(Geometry(**GEOMETRY)).wait(timeout=30)
    ioc.signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotConnectedError, match="Serial_RBV does not answer within 2 s"):
            take(bp.count([panel]))
    finally:
        ioc.signal(signal.SIGCONT)
    assert documents.geometry(take(bp.count([panel]))["descriptor"][0]) == Geometry(**GEOMETRY)
