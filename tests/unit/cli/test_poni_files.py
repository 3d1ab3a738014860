"""PONI files of the command line, with a wavelength from an option."""

import pytest

from ponikeeper.cli.poni_files import read_poni_file
from ponikeeper.errors import ConfigError
from ponikeeper.geometry import Geometry, poni
from strategies import VALUES

WHOLE = poni.write(Geometry.parse(VALUES))
OLD = "".join(line for line in WHOLE.splitlines(keepends=True) if "Wavelength" not in line)


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
