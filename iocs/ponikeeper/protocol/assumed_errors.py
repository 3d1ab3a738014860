"""Errors that a fit has to assume, since one image hardly shows them: of the wavelength, and of the panel."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self, cast

DEFAULTS: Mapping[str, float] = {"wavelength": 0.005, "distortion": 0.1, "distortion_length": 0.125}
"""Value of each error where nothing else is configured."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "wavelength": (0.0, 0.2),
    "distortion": (0.0, 10.0),
    "distortion_length": (0.02, 2.0),
}
"""Lowest and highest value of each error."""


@dataclass(frozen=True, slots=True)
class AssumedErrors:
    """Standard deviations that are assumed for a detector, in addition to the scatter of the control points.

    Parameters
    ----------
    wavelength
        Relative standard deviation of the wavelength.
    distortion
        Smooth displacement of the pixels along each axis (px rms): the parameters of a fit absorb part of it, so that
        the residuals do not show it.
    distortion_length
        Length of the distortion, as a part of the side of the panel along each axis: that of the Gaussian by which
        uncorrelated displacements would be smoothed.
    """

    wavelength: float = DEFAULTS["wavelength"]
    distortion: float = DEFAULTS["distortion"]
    distortion_length: float = DEFAULTS["distortion_length"]

    def as_dict(self) -> dict[str, float]:
        """Return the JSON object.

        Returns
        -------
        dict
            Numbers by the names of the parameters.
        """
        return asdict(self)

    @classmethod
    def parse(cls, values: object) -> Self:
        """Build the errors from their JSON object.

        Parameters
        ----------
        values
            As `as_dict` returns it. Unknown keys, which a newer IOC may have, are ignored; a value that is missing or
            not allowed is the default.

        Returns
        -------
        AssumedErrors
        """
        if not isinstance(values, Mapping):
            return cls()
        table = cast("Mapping[str, object]", values)
        return cls(**{name: float(cast("float", table[name])) for name in LIMITS if is_allowed(name, table.get(name))})


DEFAULT_ERRORS = AssumedErrors()
"""The errors that are assumed where nothing else is configured."""


def is_allowed(name: str, value: object) -> bool:
    """Return whether a value may be that of an error.

    Parameters
    ----------
    name
        A key of `LIMITS`.
    value
        Any JSON value.

    Returns
    -------
    bool
    """
    low, high = LIMITS[name]
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
