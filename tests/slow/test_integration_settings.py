"""The allowed integration settings are those of pyFAI."""

import itertools

import numpy as np
import pytest
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.method_registry import IntegrationMethod

from ponikeeper.protocol.integration import ALGORITHMS, IMPLEMENTATIONS, SPLITS, UNITS, integration_problems


@pytest.fixture(scope="module")
def integrator():
    return AzimuthalIntegrator(0.2, 0.005, 0.005, pixel1=1e-3, pixel2=1e-3, wavelength=1e-10)


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_one_of_pyfai(integrator, unit):
    assert integrator.integrate1d(np.ones((10, 10)), 5, unit=unit).unit.name == unit


def test_every_method_that_pyfai_has_can_be_set(integrator):
    methods = {(each.split, each.algo.lower(), each.impl) for each in IntegrationMethod.select_method(1)}
    assert methods
    for method in methods:
        assert integration_problems({"npt": 5, "unit": "r_mm", "method": list(method)}) == []
    assert methods <= set(itertools.product(SPLITS, ALGORITHMS, IMPLEMENTATIONS))


@pytest.mark.parametrize(
    "setting",
    [
        {"polarization_factor": 0.9}, {"correctSolidAngle": False}, {"error_model": "poisson"},
        {"radial_range": [1, 5]}, {"azimuth_range": [0, 90]},
    ],
)  # fmt: skip
def test_every_setting_is_an_argument_that_changes_the_result(integrator, setting):
    assert integration_problems({"npt": 20, "unit": "r_mm", **setting}) == []
    image = np.arange(100.0).reshape(10, 10) + 1
    plain, changed = (integrator.integrate1d(image, 20, unit="r_mm", **more) for more in ({}, setting))
    attributes = ("radial", "intensity", "sigma")
    assert any(not np.array_equal(getattr(plain, name), getattr(changed, name)) for name in attributes)
