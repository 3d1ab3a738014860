"""Reading of PONI files, with the options --wavelength and --energy for files that were written without one."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import ConfigError, PoniError
from ponikeeper.geometry import Geometry, poni

Wavelength = Annotated[float | None, typer.Option(help="wavelength of a file without one (m), such as 1.663e-11")]
Energy = Annotated[float | None, typer.Option(help="the same as a photon energy (keV), such as 74.55")]

_SAME = 1e-4
"""Relative difference of two wavelengths that are the same, written with few digits."""


def read_poni_file(file: Path, wavelength: float | None) -> Geometry:
    """Read the geometry of a PONI file.

    Parameters
    ----------
    file
        A PONI file of any version; of several entries the last one counts.
    wavelength
        Of a file without one (m).

    Returns
    -------
    Geometry
        The geometry.

    Raises
    ------
    ConfigError
        The file cannot be read, is not a PONI, or has another wavelength.
    """
    try:
        geometry = poni.read(file.read_bytes(), wavelength)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected a PONI file") from error
    except PoniError as error:
        raise ConfigError(f"{file}: {problem}{wavelength_hint(problem)}" for problem in error.problems) from None
    if wavelength is not None and abs(geometry.wavelength / wavelength - 1) > _SAME:
        raise ConfigError(
            f"{file} has the wavelength {geometry.wavelength!r} m, {wavelength!r} m is given: expected --wavelength or "
            "--energy for a file without a wavelength only; correct the file if it is wrong"
        )
    return geometry


def wavelength_hint(problem: str) -> str:
    """Return what to add to a problem of a PONI text: how to give the wavelength that it lacks."""
    lacks = "incomplete: Wavelength missing" in problem
    return "; if the file never had one, give it with --wavelength (m) or --energy (keV)" if lacks else ""
