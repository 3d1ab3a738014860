"""PONI files of the command line, with a wavelength from an option."""

import math

import pytest

from ponikeeper.cli.poni_files import given_wavelength, read_poni_file
from ponikeeper.errors import ConfigError
from ponikeeper.geometry import Geometry, poni
from strategies import VALUES

WHOLE = poni.write(Geometry.parse(VALUES))
OLD = "".join(line for line in WHOLE.splitlines(keepends=True) if "Wavelength" not in line)


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


def test_wavelength_completes_an_old_file_and_never_replaces_that_of_another(tmp_path):
    file = tmp_path / "a.poni"
    file.write_text(OLD)
    assert read_poni_file(file, 2e-11).wavelength == 2e-11
    with pytest.raises(ConfigError, match=r"Wavelength missing .* with --wavelength \(m\) or --energy \(keV\)"):
        read_poni_file(file, None)
    file.write_text(WHOLE)
    assert read_poni_file(file, VALUES["wavelength"] * 1.00001).wavelength == VALUES["wavelength"]
    with pytest.raises(ConfigError, match=r"has the wavelength 1\.66.* m, 2e-11 m is given"):
        read_poni_file(file, 2e-11)
    with pytest.raises(ConfigError, match="expected a PONI file"):
        read_poni_file(tmp_path / "none.poni", None)
