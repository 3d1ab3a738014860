"""From a snapshot to a descriptor, back, and to pyFAI: bit-exact, or a clear error."""

import dataclasses
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import NoGeometryError, NotValidError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper_client.documents import azimuthal_integrator, calibrations, configuration, geometry, image_shape
from strategies import VALUES, geometries

NI = Geometry(**(VALUES | {"detector_config": {"orientation": 3}}))
SNAPSHOT = dataclasses.replace(Snapshot.from_json(EXAMPLES["snapshot"]), geometry=NI)
UNSET = Snapshot("X{Det}Calib:", "UNSET", "no geometry was ever committed")

XPDACQ = {
    "dist": 0.027647816455789107, "poni1": 0.20325088237193026, "poni2": 0.20070643030746954,
    "rot1": 0.014065256151799823, "rot2": -0.021405344966918656, "rot3": -0.001561273022415835,
    "pixel1": 0.002, "pixel2": 0.002, "wavelength": 1.6000000000000002e-10, "detector": "Perkin detector",
}  # fmt: skip
"""What xpdAcq recorded of a simulated detector, whose images have 200 x 200 pixels."""


def descriptor(snapshot=SNAPSHOT, detector="pe1", shape=(2048, 2048), joint="_"):
    """Build the part of an event descriptor that is about one detector."""
    found = configuration(snapshot, f"{detector}_calib")
    data = {key.replace("_", joint) if joint != "_" else key: value for key, value in found.data.items()}
    return {
        "configuration": {detector: {"data": data, "timestamps": found.timestamps, "data_keys": found.data_keys}},
        "data_keys": {
            f"{detector}_image": {"shape": list(shape), "dtype": "array"},
            f"{detector}_total": {"shape": []},
        },
        "object_keys": {detector: [f"{detector}_image", f"{detector}_total"]},
    }


def xpdacq_descriptor():
    data = {f"area_detector_calib_{name}": value for name, value in XPDACQ.items()}
    return {
        "configuration": {"area_detector": {"data": data}},
        "data_keys": {"area_detector_exposure_time": {"shape": []}, "area_detector_image": {"shape": [200, 200]}},
        "object_keys": {"area_detector": ["area_detector_exposure_time", "area_detector_image"]},
    }


def numbers(integrator):
    found = {name: getattr(integrator, name) for name in PARAMETERS if not name.startswith("pixel")}
    return {**found, "pixel1": integrator.detector.pixel1, "pixel2": integrator.detector.pixel2}


@given(geometries())
def test_any_geometry_is_read_back_bit_exact(drawn):
    assert geometry(descriptor(dataclasses.replace(SNAPSHOT, geometry=drawn))) == drawn


def test_timestamps_are_the_activations():
    instant = datetime(2026, 11, 22, 9, 30, 1, 250000, tzinfo=UTC).timestamp()
    assert set(configuration(SNAPSHOT, "c").timestamps.values()) == {instant}


def test_status_is_that_of_the_snapshot():
    assert configuration(dataclasses.replace(SNAPSHOT, status="MOVED"), "c").data["c_status"] == "MOVED"


def test_names_joined_by_a_dash_are_read():
    assert geometry(descriptor(joint="-")) == NI


def test_calibration_that_was_recorded_by_itself_is_read():
    found = configuration(SNAPSHOT, "pe1_calib")
    assert geometry({"configuration": {"pe1_calib": {"data": found.data}}}) == NI


def test_component_of_another_name_is_found_by_it():
    found = configuration(SNAPSHOT, "pe1_geometry")
    document = {"configuration": {"pe1": {"data": found.data}}}
    assert geometry(document, calib="geometry") == NI
    with pytest.raises(NoGeometryError, match="no detector has a component calib"):
        geometry(document)


def test_geometry_that_did_not_apply_is_returned_on_request_only():
    for status in ("UNKNOWN", "MOVED", "SOMETHING_NEW"):
        found = descriptor(dataclasses.replace(SNAPSHOT, status=status, reason="z is elsewhere"))
        for read in (geometry, azimuthal_integrator):
            with pytest.raises(NotValidError, match=f"the status is {status}: z is elsewhere; .*any_status=True"):
                read(found)
        assert geometry(found, any_status=True) == NI


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (UNSET, "of pe1: the status is UNSET, no calibration had been committed"),
        (dataclasses.replace(UNSET, status="UNKNOWN"), "the status is UNKNOWN, the IOC did not answer"),
    ],
)
def test_run_without_geometry_has_a_reason(snapshot, why):
    with pytest.raises(NoGeometryError, match=why):
        geometry(descriptor(snapshot))


@pytest.mark.parametrize("document", [{}, {"configuration": {"motor": {"data": {"motor_velocity": 1.0}}}}])
def test_run_of_other_devices_is_reported(document):
    with pytest.raises(NoGeometryError, match="no detector has a component calib"):
        geometry(document)


def test_missing_value_is_named():
    document = descriptor()
    del document["configuration"]["pe1"]["data"]["pe1_calib_rot2"]
    document["configuration"]["pe1"]["data"]["pe1_calib_dist"] = None  # NaN comes back from Tiled as None
    with pytest.raises(NoGeometryError, match="no whole geometry of pe1: dist, rot2 missing"):
        geometry(document)


def test_one_of_several_detectors_must_be_named():
    other = dataclasses.replace(SNAPSHOT, geometry=dataclasses.replace(NI, dist=0.5))
    both = descriptor()
    both["configuration"] |= descriptor(other, "pe2")["configuration"]
    with pytest.raises(NoGeometryError, match="say which with detector=, of pe1, pe2"):
        geometry(both)
    assert geometry(both, "pe2").dist == 0.5
    with pytest.raises(NoGeometryError, match="no geometry of pe3: detectors with a calib are pe1, pe2"):
        geometry(both, "pe3")


def test_run_of_xpdacq_is_read():
    found = geometry(xpdacq_descriptor())
    assert {name: getattr(found, name) for name in NAMES} == XPDACQ
    assert found.detector_config == {}


def test_calibrations_of_any_component_are_found_with_their_pvs():
    both = descriptor()
    for name, calib in (("pe1", "cam_geometry"), ("pe2_calib", "")):
        start = f"{name}_{calib}".removesuffix("_")
        found = configuration(SNAPSHOT, start)
        recorded = both["configuration"].setdefault(name, {"data": {}, "timestamps": {}, "data_keys": {}})
        recorded["data"] |= found.data
        recorded["timestamps"] |= found.timestamps
        recorded["data_keys"] |= found.data_keys
    both["configuration"]["motor"] = {"data": {"motor_rot1": 1.0, "motor_status": "VALID"}}
    found = calibrations(both)
    assert [(each.detector, each.calib) for each in found] == [
        ("pe1", "calib"),
        ("pe1", "cam_geometry"),
        ("pe2_calib", ""),
    ]
    assert {each.prefix for each in found} == {SNAPSHOT.prefix}
    assert {each.geometry() for each in found} == {NI}
    assert {each.since for each in found} == {datetime(2026, 11, 22, 9, 30, 1, 250000, tzinfo=UTC).timestamp()}


@pytest.mark.parametrize("source", ["SIM:pe1_calib_dist", "PV:X:Something", "", None])
def test_source_that_is_no_pv_of_a_calibration_gives_no_prefix(source):
    data_keys = {} if source is None else {"pe1_calib_poni1": {"source": source}}
    document = {"configuration": {"pe1": {"data": {"pe1_calib_poni1": 1.0}, "data_keys": data_keys}}}
    assert [each.prefix for each in calibrations(document)] == [None]


def test_numbers_of_another_descriptor_without_a_revision_are_not_a_geometry():
    carried = descriptor()  # as Tiled gives a descriptor whose geometry was gone
    carried["configuration"]["pe1"]["data"] |= {"pe1_calib_revision": 0, "pe1_calib_status": "UNKNOWN"}
    with pytest.raises(NoGeometryError, match="the status is UNKNOWN, the IOC did not answer"):
        geometry(carried)


def test_image_shape_is_the_last_two_of_its_dimensions():
    assert image_shape(descriptor(shape=(5, 1024, 2048)), "pe1") == (1024, 2048)
    assert image_shape(descriptor(shape=()), "pe1") is None


def test_images_of_several_shapes_are_not_chosen_from():
    document = descriptor()
    document["data_keys"]["pe1_total"]["shape"] = [10, 10]
    with pytest.raises(ShapeError, match="say with shape="):
        image_shape(document, "pe1")


class TestPyfai:
    @pytest.fixture(autouse=True)
    def _pyfai(self):
        pytest.importorskip("pyFAI", reason="install [fit]")

    def test_integrator_has_the_numbers_and_the_shape(self):
        integrator = azimuthal_integrator(descriptor())
        assert numbers(integrator) == {name: getattr(NI, name) for name in PARAMETERS}
        assert (type(integrator.detector).__name__, integrator.detector.shape) == ("Perkin", (2048, 2048))

    @given(st.data())
    def test_any_numbers_are_rebuilt_bit_exact(self, data):
        drawn = data.draw(geometries())
        integrator = azimuthal_integrator(
            dataclasses.replace(drawn, detector="Perkin", detector_config={}), shape=(9, 8)
        )
        assert numbers(integrator) == {name: getattr(drawn, name) for name in PARAMETERS}
        assert integrator.detector.shape == (9, 8)

    @pytest.mark.parametrize("orientation", [1, 2, 3, 4])
    def test_orientation_is_kept(self, orientation):
        turned = dataclasses.replace(NI, detector_config={"orientation": orientation})
        for shape in (None, (100, 100)):
            assert azimuthal_integrator(turned, shape=shape).detector.orientation == orientation

    def test_binned_geometry_fits_only_binned_images(self):
        binned = dataclasses.replace(SNAPSHOT, geometry=dataclasses.replace(NI, pixel1=4e-4, pixel2=4e-4))
        assert azimuthal_integrator(descriptor(binned, shape=(1024, 1024))).detector.shape == (1024, 1024)
        with pytest.raises(ShapeError, match=r"\(2048, 2048\), but Perkin .* 0.0004 m .* \(1024, 1024\)"):
            azimuthal_integrator(descriptor(binned))

    def test_shape_of_xpdacqs_simulation_has_to_be_given(self):
        with pytest.raises(ShapeError, match=r"\(200, 200\), but Perkin detector .*give shape=\(200, 200\)"):
            azimuthal_integrator(xpdacq_descriptor())
        integrator = azimuthal_integrator(xpdacq_descriptor(), shape=(200, 200))
        assert numbers(integrator) == {name: XPDACQ[name] for name in PARAMETERS}
        assert integrator.detector.shape == (200, 200)

    def test_detector_without_a_shape_takes_the_images(self):
        plain = dataclasses.replace(SNAPSHOT, geometry=dataclasses.replace(NI, detector="Detector"))
        assert azimuthal_integrator(descriptor(plain, shape=(30, 40))).detector.shape == (30, 40)
        assert azimuthal_integrator(plain.geometry).detector.shape is None

    def test_detector_that_pyfai_does_not_know_takes_the_images_or_asks_for_a_shape(self):
        own = dataclasses.replace(SNAPSHOT, geometry=dataclasses.replace(NI, detector="OurOwn"))
        assert azimuthal_integrator(descriptor(own, shape=(30, 40))).detector.shape == (30, 40)
        with pytest.raises(ShapeError, match="pyFAI does not know the detector OurOwn: give the shape"):
            azimuthal_integrator(own.geometry)

    def test_curved_detector_is_not_made_flat_to_fit(self):
        curved = dataclasses.replace(NI, detector="Aarhus", pixel1=2.4893e-05, pixel2=2.4893e-05, detector_config={})
        with pytest.raises(ShapeError, match="Aarhus is not flat"):
            azimuthal_integrator(curved, shape=(100, 100))

    def test_pixels_of_another_detector_are_reported_unless_the_shape_is_given(self):
        tiny = dataclasses.replace(NI, pixel1=3e-5, pixel2=3e-5)
        with pytest.raises(ShapeError, match="pyFAI cannot make Perkin with pixels of 3e-05 m x 3e-05 m"):
            azimuthal_integrator(tiny)
        assert azimuthal_integrator(tiny, shape=(9, 8)).detector.shape == (9, 8)

    def test_parallax_is_switched_on_where_the_geometry_has_it(self):
        config = {"orientation": 3, "sensor": {"material": "CdTe", "thickness": 1e-3}, "parallax": True}
        thick = dataclasses.replace(NI, detector="Pilatus1M", pixel1=172e-6, pixel2=172e-6, detector_config=config)
        integrator = azimuthal_integrator(thick)
        assert integrator.parallax is not None
        assert integrator.detector.sensor.thickness == 1e-3


def test_neither_ophyd_nor_pyfai_is_loaded_with_the_module():
    code = "import sys, ponikeeper_client.documents; print({'ophyd', 'epics', 'pyFAI', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("shape", [(1, 1043, 981), (-1, 5), (5,)])
def test_shape_that_is_not_that_of_an_image_is_refused(shape):
    with pytest.raises(ShapeError, match="expected two positive numbers"):
        azimuthal_integrator(NI, shape=shape)
