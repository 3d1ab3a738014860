"""What a detector gets is what the PVs of the geometry show, in the units of its driver."""

import pytest

from ponikeeper.geometry import Geometry
from ponikeeper.protocol.pushed_values import BY_DEFAULT, DRIVERS, VALUES, Target, driver_targets
from strategies import VALUES as GEOMETRY


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_pv_of_a_driver_has_units_of_its_value(driver):
    for value, (_, units) in DRIVERS[driver].pvs.items():
        assert units in VALUES[value].units
    assert set(BY_DEFAULT) <= DRIVERS[driver].pvs.keys()


@pytest.mark.parametrize(
    ("value", "units", "expected"),
    [
        ("distance", "mm", 234.4490),
        ("distance", "m", 0.2344490),
        ("wavelength", "angstrom", 0.1663),
        ("energy", "eV", 74554.54),
        ("beam_x", "px", 1003.0),
        ("orientation", "", 3),
    ],
)
def test_values_in_the_units_of_the_driver(value, units, expected):
    assert VALUES[value].value_in(units, Geometry(**GEOMETRY)) == pytest.approx(expected, rel=1e-4)


def test_distance_is_that_along_the_beam_and_the_centre_that_of_fit2d():
    geometry = Geometry(**{**GEOMETRY, "rot1": 0.3})
    assert VALUES["distance"].value_in("mm", geometry) == pytest.approx(geometry.fit2d.direct_dist, rel=1e-12)
    assert VALUES["beam_y"].value_in("px", geometry) == geometry.fit2d.beam_y


def test_centre_of_another_orientation_is_not_defined_where_the_size_of_the_detector_is_not_known():
    known = Geometry(**{**GEOMETRY, "detector_config": {"orientation": 2}})
    assert VALUES["beam_x"].value_in("px", known) is not None
    unknown = Geometry(**{**GEOMETRY, "detector": "Detector", "detector_config": {"orientation": 2}})
    assert VALUES["beam_x"].value_in("px", unknown) is None
    assert VALUES["distance"].value_in("m", unknown) is not None


def test_single_precision_is_the_same_and_a_hundredth_of_a_pixel_is_not():
    centre = VALUES["beam_x"]
    assert centre.is_same(1030.2345678, 1030.234619140625, "px")
    assert not centre.is_same(1030.2345678, 1030.2445678, "px")
    assert not VALUES["distance"].is_same(0.2345, 234.5, "m")


def test_six_digits_are_the_same_and_five_are_not():
    distance, centre = VALUES["distance"], VALUES["beam_x"]
    for written in (0.23456789, 0.100000499, 0.99999951, 1234.565499):
        assert distance.is_same(written, float(f"{written:g}"), "m")
    for written in (0.23456789, 0.100009, 1234.568):
        assert not distance.is_same(written, float(f"{written:.5g}"), "m")
    assert centre.is_same(3.2349, 3.23, "px")
    assert not centre.is_same(3.236, 3.23, "px")


def test_readback_may_be_off_by_the_tolerance_of_the_configuration():
    target = Target("distance", "D:Z", "D:Z", "mm", "D:A", tolerance=0.05)
    assert target.is_same(234.52, 234.5)
    assert not target.is_same(234.56, 234.5)
    assert not Target("distance", "D:Z", "D:Z", "mm", "D:A").is_same(234.52, 234.5)


def test_pilatus_has_no_readbacks_and_millimetres():
    (distance,) = driver_targets("pilatus", "P:cam1:", ("distance",))
    assert (distance.pv, distance.readback, distance.units, distance.acquiring) == (
        "P:cam1:DetDist", "P:cam1:DetDist", "mm", "P:cam1:Acquire_RBV",
    )  # fmt: skip
    (eiger,) = driver_targets("eiger", "P:cam1:", ("distance",))
    assert (eiger.readback, eiger.units) == ("P:cam1:DetDist_RBV", "m")
