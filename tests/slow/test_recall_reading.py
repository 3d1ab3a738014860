"""Every geometry of a run in any form of its documents, with the events that each covers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from event_model import pack_event_page

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES
from ponikeeper_client.documents import calibration_md
from ponikeeper_client.recall import Recorded, azimuthal_integrator, geometries, poni, recorded, write_nexus, write_poni
from recalling import BEGIN, PREFIX, configured, iso, revision, snapshot, taken
from speak import GEOMETRY

NEAR, FAR = revision(12, label="near"), revision(13, label="far")


@pytest.fixture
def two():
    """A run whose geometry was changed after its fourth event."""
    parts = [(NEAR, [1.0, 2.0, 3.0, 4.0]), (FAR, [6.0, 7.0])]
    return taken([("primary", configured(snapshot(found)), times) for found, times in parts])


def by_kind(documents):
    found = {}
    for kind, document in documents:
        found.setdefault(kind, []).append(document)
    return found


def in_pages(documents):
    kinds = by_kind(documents)
    owners = {}
    for event in kinds.pop("event"):
        owners.setdefault(event["descriptor"], []).append(event)
    kinds["event_page"] = [pack_event_page(*events) for events in owners.values()]
    return kinds


def covered(found):
    return [(each.stream, each.seq_nums, each.geometry) for each in found]


@pytest.mark.parametrize("form", [list, tuple, by_kind, in_pages, lambda documents: iter(in_pages(documents).items())])
def test_every_geometry_is_read_with_its_events_from_any_form_of_documents(two, form):
    made = form(two)
    if not isinstance(made, (list, tuple, dict)):
        made = [(kind, document) for kind, several in made for document in several]
    assert covered(recorded(made)) == [("primary", (1, 2, 3, 4), NEAR.geometry), ("primary", (5, 6), FAR.geometry)]


@pytest.mark.parametrize("shift", [-500.0, 500.0])
@pytest.mark.parametrize("turned", [False, True])
def test_descriptors_are_in_the_order_of_events_and_serials_where_the_clock_jumped(shift, turned):
    """Also the one without an event, which only its serial places; a serial number of a camera is not one."""
    camera = {"pe1_cam_serial": "A7"}
    parts = [(NEAR, 1, [1.0]), (FAR, 2, []), (NEAR, 3, [3.0, 4.0]), (FAR, 4, [5.0])]
    made = taken([("primary", configured(snapshot(found, serial=serial)), times) for found, serial, times in parts])
    for kind, document in made:
        if kind == "descriptor":
            data = document["configuration"]["pe1"]["data"]
            document["time"] += shift * (data["pe1_calib_serial"] in (2, 3))
            data |= camera
    kinds = by_kind(made)
    kinds["descriptor"] = kinds["descriptor"][:: -1 if turned else 1]
    found = recorded(kinds)
    assert [(each.serial, each.seq_nums) for each in found] == [(1, (1,)), (2, ()), (3, (2, 3)), (4, (4,))]


def test_everything_that_was_recorded_is_returned(two):
    first = recorded(two)[0]
    found = (first.detector, first.calib, first.stream, first.prefix, first.revision, first.uid, first.serial)
    assert found == ("pe1", "calib", "primary", PREFIX, 12, NEAR.uid, 1)
    assert (first.checksum, first.label, first.status) == (NEAR.checksum, "near", "VALID")
    assert first.since == iso(BEGIN - 500)
    assert [event.time for event in first.events] == [BEGIN + time for time in (1, 2, 3, 4)]
    assert first.run_uid == two[0][1]["uid"]


def test_descriptors_newest_first_are_put_in_order(two):
    kinds = by_kind(two)
    kinds["descriptor"].reverse()  # as databroker 1 has them
    assert [each.revision for each in recorded(kinds)] == [12, 13]


def test_descriptor_with_another_change_has_the_same_geometry():
    gain = {"pe1_gain": {"data": {"pe1_gain": 2}, "timestamps": {"pe1_gain": 0.0}, "data_keys": {}}}
    parts = [
        ("primary", configured(snapshot(NEAR)), [1.0]),
        ("primary", configured(snapshot(NEAR)) | gain, [3.0, 4.0]),
    ]
    (found,) = recorded(taken(parts))
    assert found.seq_nums == (1, 2, 3)


def test_geometry_that_is_activated_again_has_an_entry_of_its_own():
    parts = [("primary", configured(snapshot(each)), [at]) for at, each in ((1.0, NEAR), (3.0, FAR), (5.0, NEAR))]
    assert [(each.revision, each.seq_nums) for each in recorded(taken(parts))] == [(12, (1,)), (13, (2,)), (12, (3,))]


def test_representation_is_readable(two):
    found = recorded(two)
    assert repr(found) == "pe1: primary 1-4: revision 12 near VALID; 5-6: revision 13 far VALID"
    assert "<td>revision 12 near VALID</td>" in found._repr_html_()
    assert "<td>primary 5-6</td>" in found._repr_html_()


def test_detectors_and_streams_are_distinguished():
    both = configured(snapshot(NEAR)) | configured(snapshot(FAR), "pe2", "geometry")
    run = taken([("primary", both, [1.0]), ("baseline", configured(snapshot(FAR)), [3.0])])
    assert [(each.detector, each.calib, each.stream, each.revision) for each in recorded(run)] == [
        ("pe1", "calib", "primary", 12),
        ("pe2", "geometry", "primary", 13),
        ("pe1", "calib", "baseline", 13),
    ]
    assert [each.revision for each in recorded(run, "pe1", "baseline")] == [13]
    assert repr(recorded(run, "pe2")) == "pe2.geometry: primary 1: revision 13 far VALID"
    with pytest.raises(NoGeometryError, match="of pe3: recorded are pe1 in primary, pe2 in primary, pe1 in baseline"):
        recorded(run, "pe3")
    with pytest.raises(NoGeometryError, match="no event with a geometry of pe3: recorded are pe1 in primary, pe2"):
        geometries(run, "pe3")


def test_keys_joined_by_a_dash_are_read():
    plain = configured(snapshot(NEAR))["pe1"]
    dashed = {part: {key.replace("_", "-"): value for key, value in values.items()} for part, values in plain.items()}
    (found,) = recorded(taken([("primary", {"pe1": dashed}, [1.0])]))
    assert (found.calib, found.uid, found.prefix, found.geometry) == ("calib", NEAR.uid, PREFIX, NEAR.geometry)


def test_run_without_an_active_geometry_has_a_reason():
    parts = [("primary", configured(snapshot(None)), [1.0]), ("primary", configured(snapshot(NEAR)), [3.0])]
    first, second = recorded(taken(parts))
    assert (first.geometry, first.revision, first.since) == (None, None, None)
    assert "no calibration had been committed when the run was taken" in first.reason
    with pytest.raises(NoGeometryError, match=r"pe1 primary 1: .*UNSET"):
        first.require_geometry()
    assert second.geometry == NEAR.geometry


def test_missing_value_of_a_descriptor_is_named():
    lost = configured(snapshot(NEAR))
    lost["pe1"]["data"]["pe1_calib_rot1"] = None  # NaN comes back from Tiled as None
    (found,) = recorded(taken([("primary", lost, [1.0])]))
    assert (found.geometry, found.revision) == (None, 12)
    assert found.reason.endswith("no whole geometry of pe1: rot1 missing")


def test_dark_frames_have_the_geometry_of_their_own_time_and_a_note():
    run = taken([("dark", configured(snapshot(NEAR)), [1.0]), ("primary", configured(snapshot(FAR)), [3.0])])
    dark, light = recorded(run)
    assert (dark.revision, light.revision, light.notes) == (12, 13, ())
    assert "used again" in dark.notes[0]


def test_events_of_stream_datums_have_numbers_but_no_time():
    run = taken([("primary", configured(snapshot(NEAR)), []), ("primary", configured(snapshot(FAR)), [])])
    uids = [document["uid"] for kind, document in run if kind == "descriptor"]
    for uid, first, stop in ((uids[0], 1, 3), (uids[1], 3, 4)):
        indices = {"start": first - 1, "stop": stop - 1}
        datum = {"uid": f"{uid}/0", "stream_resource": "r", "descriptor": uid, "indices": indices}
        run.insert(-1, ("stream_datum", datum | {"seq_nums": {"start": first, "stop": stop}}))
    first, second = recorded(run)
    assert (first.seq_nums, second.seq_nums) == ((1, 2), (3,))
    assert {event.time for event in (*first.events, *second.events)} == {None}
    assert (first.begins, first.ends, second.ends) == (BEGIN + 1.0, BEGIN + 2.0, BEGIN + 3.0)


def test_run_without_an_end_is_reported(two):
    found = recorded(two[:-1])
    assert all("the run has no end" in each.notes[0] for each in found)
    assert found[-1].ends is None


@pytest.mark.parametrize("what", ["3f8a", None, 5, [1, 2], {"descriptor": []}, []])
def test_value_that_is_not_a_run_is_refused(what):
    with pytest.raises(NoGeometryError, match=r"is no run: expected|the documents of 0 runs"):
        recorded(what)


def test_documents_of_two_runs_are_refused(two):
    with pytest.raises(NoGeometryError, match="these are the documents of 2 runs"):
        recorded([*two, *two])


# --- runs of xpdAcq


def test_run_of_xpdacq_is_read_and_marked():
    values = {name: GEOMETRY[name] for name in NAMES}
    (found,) = recorded(taken([("primary", configured(values, "area_detector"), [1.0])]))
    assert (found.kind, found.detector, found.revision, found.uid) == ("xpdAcq", "area_detector", None, None)
    assert found.geometry == Geometry(**values)
    assert found.summary == "xpdAcq, no revision"


def test_device_of_xpdacq_that_was_never_set_is_no_geometry():
    values = dict.fromkeys(NAMES, 0.0) | {"dist": 1.0, "detector": ""}
    (found,) = recorded(taken([("primary", configured(values, "area_detector"), [1.0])]))
    assert found.geometry is None
    assert "wavelength 0" in found.reason


MD = {
    "dist": 0.2345, "poni1": 0.1, "poni2": 0.11, "rot1": 0.002, "rot2": 0.001, "rot3": 0.0,
    "pixel1": 2e-4, "pixel2": 2e-4, "detector": "Perkin detector", "max_shape": [2048, 2048], "orientation": 3,
    "splineFile": None, "directDist": 234.5, "centerX": 550.0, "centerY": 500.0, "tilt": 0.1, "tiltPlanRotation": 3.0,
    "pixelX": 200.0, "pixelY": 200.0, "poni_file_name": "Ni_calib.poni", "time": "20190412-1205",
}  # fmt: skip


def test_calibration_of_the_start_document_is_read_with_the_wavelength_of_the_beamline():
    start = {"calibration_md": MD, "bt_wavelength": 0.1863}
    (found,) = recorded(taken([("primary", {}, [1.0, 2.0])], start))
    assert (found.kind, found.detector, found.seq_nums) == ("calibration_md", "pe1", (1, 2))
    assert found.notes == ("from Ni_calib.poni", "calibrated 20190412-1205")
    config = {"orientation": 3, "max_shape": [2048, 2048]}
    values = {name: MD[name] for name in NAMES if name != "wavelength"}
    assert found.geometry == Geometry(**values, wavelength=0.1863 * 1e-10, detector_config=config)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "no whole geometry: wavelength missing"),
        ({"wavelength": 0.1863}, "looks like angstrom"),
        ({"wavelength": 1e-11, "dist": None}, "dist missing"),
        ({"wavelength": 1e-11, "splineFile": "frelon.spline"}, "needs the file frelon.spline"),
    ],
)
def test_invalid_calibration_of_the_start_document_has_a_reason(change, why):
    (found,) = recorded(taken([("primary", {}, [1.0])], {"calibration_md": MD | change}))
    assert found.geometry is None
    assert why in found.reason


@pytest.mark.parametrize(
    ("detector", "config", "changes"),
    [
        ("Perkin", {"pixel1": 4e-4, "pixel2": 4e-4, "orientation": 2}, {"pixel1": 4e-4, "pixel2": 4e-4}),
        ("Pilatus1M", {"orientation": 2, "max_shape": None}, {"pixel1": 172e-6, "pixel2": 172e-6}),
        ("Detector", {"pixel1": 1e-4, "pixel2": 3e-4, "orientation": 2}, {"pixel1": 1e-4, "pixel2": 3e-4}),
    ],
)
def test_configuration_of_pyfai_with_nested_pixels_is_read(detector, config, changes):
    numbers = {name: MD[name] for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")}
    given = {"poni_version": 2.1, **numbers, "detector": detector, "detector_config": config, "wavelength": 1e-11}
    (found,) = recorded(taken([("primary", {}, [1.0])], {"calibration_md": given}))
    options = {"detector_config": {"orientation": 2}}
    assert found.geometry == Geometry(**{**numbers, **changes, **options, "detector": detector, "wavelength": 1e-11})


@pytest.mark.parametrize("detector", ["Perkin", "Pilatus1M", "Detector"])
def test_configuration_that_an_integrator_of_today_returns_is_read(detector):
    pytest.importorskip("pyFAI", reason="install [fit]")
    from pyFAI.detectors import detector_factory
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    config = {"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [100, 200]} if detector == "Detector" else {}
    numbers = {name: MD[name] for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")}
    ai = AzimuthalIntegrator(**numbers, detector=detector_factory(detector, config), wavelength=1.1e-11)
    given = json.loads(json.dumps(dict(ai.get_config())))  # as a catalog has it
    (found,) = recorded(taken([("primary", {}, [1.0])], {"calibration_md": given}))
    assert {name: getattr(found.geometry, name) for name in numbers} == numbers
    assert (found.geometry.pixel1, found.geometry.pixel2) == (ai.detector.pixel1, ai.detector.pixel2)
    assert (found.geometry.wavelength, found.geometry.orientation) == (1.1e-11, 3)


def test_pyfais_own_dictionary_as_it_is_today_is_read():
    pytest.importorskip("pyFAI", reason="install [fit]")
    from pyFAI.geometry import Geometry as PyfaiGeometry

    made = PyfaiGeometry(0.2, 0.1, 0.11, 0.01, 0.02, 0.03, detector="Pilatus1M", wavelength=1e-11)
    given = made.detector.getPyFAI() | dict(
        zip(("dist", "poni1", "poni2", "rot1", "rot2", "rot3"), made.param, strict=True)
    )
    given |= {"wavelength": made.wavelength, "max_shape": list(made.detector.max_shape)}
    (found,) = recorded(taken([("primary", {}, [1.0])], {"calibration_md": given}))
    integrator = azimuthal_integrator(found)
    assert integrator.detector.shape == made.detector.shape
    assert integrator.param == made.param


@pytest.mark.parametrize(
    ("detector", "pixel", "config"),
    [
        ("Perkin", 2e-4, {}),
        ("Perkin", 4e-4, {"orientation": 2}),
        ("Pilatus1M", 172e-6, {"orientation": 3}),
        ("Detector", 1e-4, {"max_shape": [100, 200]}),
    ],
)
def test_calibration_that_is_written_for_xpdacq_gives_its_reducers_the_same_integrator(detector, pixel, config):
    pytest.importorskip("pyFAI", reason="install [fit]")
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    numbers = {name: MD[name] for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")}
    options = {"pixel1": pixel, "pixel2": pixel, "detector": detector, "wavelength": 1e-11, "detector_config": config}
    geometry = Geometry(**numbers, **options)
    given = json.loads(json.dumps(calibration_md(geometry)))
    (found,) = recorded(taken([("primary", {}, [1.0])], {"calibration_md": given}))
    assert found.geometry == dataclasses.replace(
        geometry, detector_config={**config, "orientation": geometry.orientation}
    )
    wanted = azimuthal_integrator(found)
    flat, nested, pdfstream = AzimuthalIntegrator(), AzimuthalIntegrator(), AzimuthalIntegrator()
    flat.setPyFAI(**given)
    nested.set_config(given)
    pdfstream.set_config({**given, "distance": given["dist"]})
    for one in (flat, nested, pdfstream):
        assert (one.param, one.wavelength) == (wanted.param, wanted.wavelength)
        assert (one.detector.shape, one.detector.orientation) == (wanted.detector.shape, geometry.orientation)
        assert (one.detector.pixel1, one.detector.pixel2) == (pixel, pixel)


# --- one of them, for other programs


def test_one_of_several_geometries_must_be_named(two):
    pytest.importorskip("pyFAI", reason="install [fit]")
    message = r"several geometries match: .*\(pe1 primary 1-4: revision 12 near VALID; pe1 primary 5-6: revision 13"
    with pytest.raises(NoGeometryError, match=message):
        azimuthal_integrator(two)
    assert azimuthal_integrator(two, event=4).dist == NEAR.geometry.dist
    assert azimuthal_integrator(two, event=5, stream="primary", detector="pe1").dist == FAR.geometry.dist
    assert azimuthal_integrator(recorded(two)[1]).dist == FAR.geometry.dist
    with pytest.raises(NoGeometryError, match="no geometry of event 9 was recorded: recorded are pe1 primary 1-4"):
        azimuthal_integrator(two, event=9)


def test_run_without_any_calibration_is_reported():
    pytest.importorskip("pyFAI", reason="install [fit]")
    run = taken([("primary", {}, [1.0])])
    with pytest.raises(NoGeometryError, match="no geometry of the run was recorded: no detector of the run has"):
        azimuthal_integrator(run)
    with pytest.raises(NoGeometryError, match="recorded no geometry of pe1: no detector of it has a calibration"):
        recorded(run, "pe1")


@pytest.mark.parametrize("event", ["3", 2.0, True, [1]])
def test_invalid_event_number_is_reported(two, event):
    with pytest.raises(ValueError, match=r"event=.* is no number of an event: expected 1, 2, \.\.\."):
        azimuthal_integrator(two, event=event)


def test_event_that_a_geometry_does_not_cover_is_reported(two):
    near, _ = recorded(two)
    with pytest.raises(NoGeometryError, match="no geometry of event 6 was recorded: recorded are pe1 primary 1-4"):
        azimuthal_integrator(near, event=6)


def test_history_that_would_not_be_read_is_reported(two):
    with pytest.raises(ValueError, match="history= is given without best=True"):
        azimuthal_integrator(two, event=1, history="pe1.jsonl")


@pytest.mark.parametrize("asked", [{"detector": Path("pe1.jsonl")}, {"stream": 1}])
def test_value_that_is_not_a_name_is_reported(two, asked):
    (which,) = asked
    with pytest.raises(ValueError, match=f"{which}=.* is no name: expected a text"):
        recorded(two, **asked)


@pytest.mark.parametrize(
    ("given", "message"),
    [(lambda run: run, "a list is given"), (recorded, "2 geometries are given"), (len, "a int is given")],
)
@pytest.mark.parametrize("write", [write_poni, write_nexus])
def test_file_is_written_of_one_geometry_only(two, tmp_path, write, given, message):
    with pytest.raises(ValueError, match=rf"{message}.*expected one geometry of a run, such as recorded\(run\)\[0\]"):
        write(given(two), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_same_geometry_in_two_streams_needs_no_name():
    pytest.importorskip("pyFAI", reason="install [fit]")
    run = taken([("dark", configured(snapshot(NEAR)), [1.0]), ("primary", configured(snapshot(NEAR)), [3.0])])
    assert azimuthal_integrator(run).dist == NEAR.geometry.dist


def test_poni_has_its_source_in_comments_and_is_read_back_equal(two, tmp_path):
    from ponikeeper.geometry import poni as strict

    first = recorded(two)[0]
    text = poni(first)
    assert text.isascii()
    assert f"# of run {first.run_uid}, pe1 primary 1-4\n# revision 12 of {PREFIX}, uid {NEAR.uid}" in text
    write_poni(first, tmp_path / "a.poni")
    assert strict.read((tmp_path / "a.poni").read_bytes()) == NEAR.geometry
    odd = poni(dataclasses.replace(first, detector="Größe\nDist: 5"))
    assert strict.read(odd) == NEAR.geometry
    assert all(line.startswith("#") for line in odd.splitlines()[:3])


def test_poni_is_read_by_pyfai(two, tmp_path):
    pyfai = pytest.importorskip("pyFAI", reason="install [fit]")
    write_poni(recorded(two)[1], tmp_path / "a.poni")
    found = pyfai.load(str(tmp_path / "a.poni"))
    assert np.array_equal(found.param, azimuthal_integrator(two, event=6).param)


def test_recorded_geometry_is_an_immutable_value(two):
    one, other = recorded(two), recorded(list(two))
    assert one == other
    assert len({*one, *other}) == 2
    assert isinstance(one[0], Recorded)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one[0].revision = 5
