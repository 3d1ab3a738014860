"""Uncertainty of a geometry of a run: as recorded, as known now, per pixel and per ring, and in files."""

import dataclasses

import numpy as np
import pytest

from ponikeeper.errors import NoUncertaintyError
from ponikeeper.geometry import poni as poni_text
from ponikeeper.history.record_form import checksum
from ponikeeper_client import best_known, recorded, uncertainty, write_nexus, write_poni
from ponikeeper_client._geometry_errors import COVARIED, GeometryErrors
from recalling import PREFIX, configured, history, revision, snapshot, taken

pytest.importorskip("pyFAI", reason="install [fit]")

SIGMA = np.array([1e-4, 1e-5, 1e-5, 1e-4, 1e-4, 1e-13])
CIRCLE = {"y": 0.1, "x": 0.2, "radius": 0.05}
SHAPE = (64, 48)


def fitted(number, scale=1.0, **provenance):
    """Make a revision whose provenance has a covariance: distance and wavelength are correlated by -0.9."""
    bare = revision(number)
    covariance = np.diag((scale * SIGMA) ** 2)
    covariance[0, 5] = covariance[5, 0] = -0.9 * scale**2 * SIGMA[0] * SIGMA[5]
    record = GeometryErrors(bare.geometry, covariance).record()
    bare = dataclasses.replace(bare, provenance={"method": "fit", "covariance": record, **provenance})
    return dataclasses.replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))


def run(found):
    return taken([("primary", configured(snapshot(found)), [1.0, 2.0])])


def test_sigma_is_that_of_the_recorded_covariance():
    sure = uncertainty(run(fitted(1)), shape=SHAPE)
    assert list(sure.sigma.values()) == pytest.approx(SIGMA)
    assert (sure.names, sure.valid_within) == (COVARIED, None)
    assert sure.per_pixel().shape == SHAPE
    assert sure.per_pixel("2th_deg") == pytest.approx(np.degrees(sure.per_pixel("2th_rad")))
    assert sure.per_pixel("q_nm^-1") == pytest.approx(10 * sure.per_pixel("q_A^-1"))


def test_sigma_of_a_pixel_is_the_spread_of_pyfai_with_drawn_geometries():
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    sure = uncertainty(run(fitted(1)), shape=SHAPE)
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(6), sure.covariance, 300)
    whole, pixel = sure.geometry, (5, 7)
    detector_of = {"pixel1": whole.pixel1, "pixel2": whole.pixel2, "orientation": whole.orientation, "max_shape": SHAPE}
    values: dict[str, list[float]] = {"2th_rad": [], "q_nm^-1": []}
    for change in drawn:
        numbers = {name: getattr(whole, name) + step for name, step in zip(COVARIED, change, strict=True)}
        from pyFAI.detectors import Detector

        integrator = AzimuthalIntegrator(**numbers, rot3=whole.rot3, detector=Detector(**detector_of))
        for unit, found in values.items():
            found.append(float(integrator.center_array(SHAPE, unit=unit)[pixel]))
    for unit, found in values.items():
        assert sure.per_pixel(unit)[pixel] == pytest.approx(np.std(found), rel=0.15), unit


def test_ring_has_the_mean_of_its_pixels_and_none_off_the_detector():
    sure = uncertainty(run(fitted(1)), shape=SHAPE)
    from ponikeeper_client._geometry_errors import two_theta, values_of

    angles = np.degrees(two_theta(values_of(sure.geometry), sure.y, sure.x))
    inside, outside = sure.per_ring([np.median(angles), angles.max() + 5])
    near = sure.per_pixel()[np.abs(angles - np.median(angles)) < 0.1]
    assert near.min() <= inside <= near.max()
    assert np.isnan(outside)
    with pytest.raises(ValueError, match="2th_deg"):
        sure.per_ring([1.0], "degrees")


def test_best_known_uncertainty_is_that_of_the_right_revision():
    found = [fitted(1), fitted(2, 3.0)]
    exported = dataclasses.replace(history(2), revisions=tuple(found))
    sure = uncertainty(run(found[0]), revision=2, history=[exported], shape=SHAPE, any_status=True)
    assert list(sure.sigma.values()) == pytest.approx(3 * SIGMA)


def test_geometry_that_was_typed_has_no_uncertainty():
    with pytest.raises(NoUncertaintyError, match="only a geometry that ponikeeper fitted"):
        uncertainty(run(revision(1)), shape=SHAPE)


def test_covariance_that_cannot_be_read_is_none():
    documents = run(fitted(1))
    _, descriptor = documents[1]
    descriptor["configuration"]["pe1"]["data"]["pe1_calib_covariance"] = "{"
    with pytest.raises(NoUncertaintyError):
        uncertainty(documents, shape=SHAPE)


def test_files_carry_the_covariance_and_where_it_is_valid(tmp_path):
    h5py = pytest.importorskip("h5py", reason="install [fit]")
    (one,) = recorded(run(fitted(1, valid_within=CIRCLE)))
    assert one.valid_within == CIRCLE
    write_nexus(one, tmp_path / "one.nxs", SHAPE)
    with h5py.File(tmp_path / "one.nxs") as file:
        group = file["/entry/calibration/covariance"]
        assert [name.decode() for name in group["names"]] == list(COVARIED)
        assert np.sqrt(np.diag(group["matrix"][()])) == pytest.approx(SIGMA)
        assert group["dist_errors"][()] == pytest.approx(SIGMA[0])
        assert (group["dist_errors"].attrs["units"], group["valid_within_radius"][()]) == ("m", 0.05)
    write_poni(one, tmp_path / "one.poni")
    text = (tmp_path / "one.poni").read_text()
    assert poni_text.read(text) == one.geometry
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert any(
        "covariance of dist poni1 poni2 rot1 rot2 wavelength (m, rad; lower triangle" in line for line in comments
    )
    assert any("valid within radius 50.0 mm of the point 100.0, 200.0 mm" in line for line in comments)


def test_file_of_a_geometry_without_covariance_has_none(tmp_path):
    h5py = pytest.importorskip("h5py", reason="install [fit]")
    (one,) = recorded(run(revision(1)))
    write_nexus(one, tmp_path / "one.nxs", SHAPE)
    with h5py.File(tmp_path / "one.nxs") as file:
        assert "covariance" not in file["/entry/calibration"]
    assert best_known(run(revision(1)), history=[history(1)])[0].covariance is None
