"""The wavelength that --wavelength or --energy gives."""

import math

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper.geometry.wavelengths import given_wavelength


def test_energy_and_wavelength_give_the_same():
    assert given_wavelength(None, None) is None
    assert given_wavelength(1.5e-10, None) == 1.5e-10
    assert given_wavelength(None, 12.398419843320026) == pytest.approx(1e-10, rel=1e-15)


@pytest.mark.parametrize(
    ("wavelength", "energy", "message"),
    [
        (1e-10, 8.0, "are both given: expected one of them"),
        (None, 17000.0, "--energy 17000.0 keV looks like eV: write 17"),
        (None, 0.0, "is out of range: expected more than 0"),
        (None, math.nan, "is out of range: expected more than 0"),
        (None, 0.01, "is out of range"),
        (17.0, None, "looks like keV: write 7.29318814313e-11, or angstrom: write 1.7e-09"),
    ],
)
def test_value_that_is_none_is_refused_with_what_was_meant(wavelength, energy, message):
    with pytest.raises(ConfigError) as refused:
        given_wavelength(wavelength, energy)
    assert message in str(refused.value)
