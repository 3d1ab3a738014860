"""Members: their covariance at the given wavelength, or an assumed one."""

import numpy as np
import pytest

import travels
from chains import geometry
from ponikeeper.geometry.kinematics.place import place_slopes
from ponikeeper_client.model.members import ASSUMED_PLACE, ASSUMED_TILT, member_of, panel_of, values_of


def member(**more):
    travel = travels.Travel((travels.RAIL,))
    return member_of(travel.revision(1, {"z": 100.0}, **more), "near", {"z": 100.0}, travels.MIDDLE)


def test_shared_error_of_the_wavelength_is_separated():
    found = member()
    slopes = np.array(place_slopes(values_of(found.geometry), travels.MIDDLE))
    sigma = travels.SIGMA * [1, 1, 1.2, 1, 1]  # of the distance: relative to it, which is 600 mm and not 500
    assert np.sqrt(np.diag(slopes @ found.covariance @ slopes.T)) == pytest.approx(sigma, rel=1e-2)
    assert found.wavelength_sigma == pytest.approx(travels.WAVELENGTH_SIGMA)
    assert found.by_wavelength[0] == pytest.approx(-found.geometry.dist, rel=1e-3)
    assert not found.assumed


def test_values_at_another_wavelength_change_with_it():
    found = member()
    assert found.values_at(found.geometry.wavelength) == values_of(found.geometry)
    longer = found.values_at(found.geometry.wavelength * 1.001)
    assert longer[0] == pytest.approx(found.geometry.dist * 0.999, rel=1e-5)


def test_revision_without_a_covariance_gets_an_assumed_one():
    found = member(is_fit=False)
    slopes = np.array(place_slopes(values_of(found.geometry), travels.MIDDLE))
    sigma = np.sqrt(np.diag(slopes @ found.covariance @ slopes.T))
    assert sigma == pytest.approx([ASSUMED_PLACE] * 3 + [ASSUMED_TILT] * 2)
    assert found.assumed
    assert found.wavelength_sigma == 0.005


@pytest.mark.parametrize(
    ("values", "sides"),
    [
        ({}, (0.4096, 0.4096)),
        ({"detector": "Detector", "detector_config": {"max_shape": [100, 200]}}, (0.02, 0.04)),
        ({"detector": "Detector"}, None),
    ],
)
def test_panel_is_that_of_the_configuration_or_of_the_name(values, sides):
    from dataclasses import replace

    found = panel_of(replace(geometry(), **values))
    assert found == (None if sides is None else pytest.approx(sides))
