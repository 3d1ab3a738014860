"""A wavelength from the options --wavelength (m) and --energy (keV) of the command line."""

from ponikeeper.errors import ConfigError
from ponikeeper.geometry.geometry import value_problem
from ponikeeper.geometry.parameters import HC_KEV_ANGSTROM

_MOST_KEV = 1000.0
"""A larger energy is in eV."""


def given_wavelength(wavelength: float | None, energy: float | None) -> float | None:
    """Return the wavelength that one of the two options gives.

    Parameters
    ----------
    wavelength
        Value of ``--wavelength`` (m).
    energy
        Value of ``--energy`` (keV).

    Returns
    -------
    float or None
        Wavelength (m); None without either.

    Raises
    ------
    ConfigError
        Both are given, or the value is not a wavelength.
    """
    if wavelength is not None and energy is not None:
        raise ConfigError("--wavelength and --energy are both given: expected one of them")
    if energy is not None:
        if energy > _MOST_KEV:
            raise ConfigError(f"--energy {energy!r} keV looks like eV: write {energy / 1e3:.12g}")
        if not energy > 0:
            raise ConfigError(f"--energy {energy!r} keV is out of range: expected more than 0")
        wavelength = HC_KEV_ANGSTROM / energy * 1e-10
    problem = None if wavelength is None else value_problem("wavelength", wavelength)
    if problem:
        raise ConfigError(problem)
    return wavelength
