"""Start of a fit: the active geometry, a PONI file, a geometry, or a nominal distance."""

from dataclasses import replace

import pytest
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ponikeeper.errors import CalibrationError, ShapeError
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.fit._acceptance import BLIND_START, CALIBRATED_START, NOMINAL_START
from ponikeeper_client.fit.start import Nominal, read_poni, resolve_start

SHAPE = (2048, 2048)
GEOMETRY = Geometry(0.23, 0.2, 0.21, 0.01, -0.02, 0.03, 2e-4, 2e-4, 1.663e-11, "Perkin", {"orientation": 2})


def middle_of(detector):
    y, x, _ = detector.calc_cartesian_positions()
    return [pytest.approx((values.min() + values.max()) / 2) for values in (y, x)]


def test_without_a_start_the_fit_begins_at_the_active_geometry():
    result = resolve_start(None, GEOMETRY, None, SHAPE)
    assert (result.geometry, result.tolerance) == (GEOMETRY, CALIBRATED_START)
    assert "active" in result.source


def test_without_start_and_active_geometry_the_message_says_what_to_give():
    with pytest.raises(CalibrationError, match="no geometry is active yet") as error:
        resolve_start(None, None, 1e-11, SHAPE)
    assert "Nominal(dist=" in str(error.value)


def test_given_wavelength_replaces_that_of_the_start():
    for start in (None, GEOMETRY):
        result = resolve_start(start, GEOMETRY, 1.7e-11, SHAPE)
        assert result.geometry == replace(GEOMETRY, wavelength=1.7e-11)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_file_is_read_whole(tmp_path, kind):
    file = tmp_path / "some.poni"
    file.write_text(poni.write(GEOMETRY))
    result = resolve_start(kind(file), None, None, SHAPE)
    assert (result.geometry, result.tolerance, result.source) == (GEOMETRY, CALIBRATED_START, str(file))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CalibrationError, match="No such file"):
        read_poni(tmp_path / "none.poni")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"not a poni", poni.write(GEOMETRY)[:120].encode()])
def test_a_file_that_is_no_whole_poni_is_refused_by_its_name(tmp_path, content):
    file = tmp_path / "bad.poni"
    file.write_bytes(content)
    with pytest.raises(CalibrationError) as error:
        resolve_start(file, None, None, SHAPE)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_a_nominal_start_has_the_beam_in_the_middle_of_the_image(orientation):
    result = resolve_start(Nominal(0.25, "Perkin", orientation=orientation), None, 1.663e-11, SHAPE)
    detector = AzimuthalIntegrator(detector="Perkin").detector.__class__(orientation=orientation)
    assert [result.geometry.poni1, result.geometry.poni2] == middle_of(detector)
    assert (result.geometry.orientation, result.geometry.dist, result.tolerance) == (orientation, 0.25, NOMINAL_START)
    assert (result.geometry.rot1, result.geometry.rot2, result.geometry.rot3) == (0, 0, 0)
    assert "0.25 m" in result.source


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_a_centre_is_that_of_the_image_as_it_is_stored(orientation):
    """In pyFAI the given pixel has a scattering angle of zero."""
    nominal = Nominal(0.25, "Perkin", centre=(100, 1900), orientation=orientation)
    result = resolve_start(nominal, None, 1.663e-11, SHAPE).geometry
    detector = AzimuthalIntegrator(detector="Perkin").detector.__class__(orientation=orientation)
    numbers = {name: getattr(result, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")}
    angles = AzimuthalIntegrator(**numbers, detector=detector).array_from_unit(unit="2th_rad")
    assert divmod(int(angles.argmin()), 2048) == (100, 1900)


def test_nominal_start_takes_omitted_values_from_the_active_geometry():
    result = resolve_start(Nominal(0.3), GEOMETRY, 1.7e-11, SHAPE).geometry
    assert (result.detector, result.orientation, result.pixel1, result.wavelength) == ("Perkin", 2, 2e-4, 1.7e-11)
    assert result.dist == 0.3


def test_another_detector_takes_neither_pixel_nor_orientation_from_the_active_one():
    result = resolve_start(Nominal(0.3, "Pilatus1M"), GEOMETRY, 1.7e-11, (1043, 981)).geometry
    assert (result.pixel1, result.orientation) == (1.72e-4, 3)


def test_a_pixel_that_is_given_is_taken():
    result = resolve_start(Nominal(0.3, "Perkin", pixel=(4e-4, 4e-4)), GEOMETRY, 1.7e-11, (1024, 1024)).geometry
    assert (result.pixel1, result.pixel2) == (4e-4, 4e-4)


@pytest.mark.parametrize("start", ["blind", Nominal()])
def test_a_start_without_a_distance_takes_the_detector_from_the_active_geometry(start):
    result = resolve_start(start, GEOMETRY, 1.7e-11, SHAPE)
    geometry = result.geometry
    assert (geometry.detector, geometry.orientation, geometry.pixel1, geometry.wavelength) == (
        "Perkin", 2, 2e-4, 1.7e-11
    )  # fmt: skip
    assert (result.tolerance, result.source) == (BLIND_START, "no distance")


def test_a_start_without_a_distance_needs_the_pixels_of_an_unknown_detector():
    with pytest.raises(CalibrationError, match="give pixel="):
        resolve_start(Nominal(detector="Unheard"), None, 1.7e-11, SHAPE)
    given = Nominal(detector="Unheard", pixel=(1e-4, 1e-4))
    assert resolve_start(given, None, 1.7e-11, SHAPE).geometry.pixel1 == 1e-4


def test_a_blind_start_without_an_active_geometry_asks_for_the_detector():
    with pytest.raises(CalibrationError, match=r"a nominal start needs .*detector"):
        resolve_start("blind", None, 1.7e-11, SHAPE)


def test_a_nominal_start_without_a_detector_is_refused():
    with pytest.raises(CalibrationError, match=r"a nominal start needs .*detector"):
        resolve_start(Nominal(0.3), None, 1.7e-11, SHAPE)


def test_a_nominal_start_without_a_wavelength_is_refused():
    with pytest.raises(CalibrationError, match=r"a nominal start needs .*wavelength"):
        resolve_start(Nominal(0.3, "Perkin"), None, None, SHAPE)


def test_a_detector_of_unknown_pixels_asks_for_them():
    with pytest.raises(CalibrationError, match="give pixel="):
        resolve_start(Nominal(0.3, "Unheard"), None, 1.7e-11, SHAPE)
    given = Nominal(0.3, "Unheard", pixel=(1e-4, 1e-4))
    assert resolve_start(given, None, 1.7e-11, SHAPE).geometry.pixel1 == 1e-4


def test_a_curved_detector_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match="not flat"):
        resolve_start(Nominal(0.3, "Aarhus"), None, 1.7e-11, (100, 100))
