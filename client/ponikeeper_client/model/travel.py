"""The wavelength from the travel of a stage: calibrations tell distances in proportion to 1 / wavelength."""

from dataclasses import dataclass

import numpy as np

from ponikeeper.geometry.kinematics import Chain, Translate
from ponikeeper_client.model.members import Floats

_ALONG_BEAM = 0.9
"""Least part of the travel that is along the beam: travel across it tells nothing."""

LEAST_SIGMAS, LEAST = 3.0, 2e-4
"""A difference is reported where it is more than so many standard deviations, and more than so much (relative)."""


@dataclass(frozen=True, slots=True)
class TravelWavelength:
    """What the travel of one stage says of the wavelength.

    Parameters
    ----------
    link
        Name of the link.
    excess
        By how much the wavelength is too long (relative).
    sigma
        Its standard deviation, that of the motor's scale included.
    """

    link: str
    excess: float
    sigma: float

    @property
    def is_reported(self) -> bool:
        """Whether the difference is large enough to be reported."""
        return abs(self.excess) > max(LEAST_SIGMAS * self.sigma, LEAST)

    def text(self) -> str:
        """Format it for people.

        Returns
        -------
        str
            Two digits of the standard deviation.
        """
        percent = 100 * self.sigma
        digits = max(2, 1 - int(np.floor(np.log10(percent)))) if percent > 0 else 4
        size, word = f"{abs(100 * self.excess):.{digits}f} +- {percent:.{digits}f} %", "long"
        if self.excess < 0:
            word = "short"
        return (
            f"the travel of {self.link} says that the wavelength is {size} too {word}, or the scale of the motor or "
            "the lattice of the standard is off by as much"
        )


def wavelength_from_travel(
    chain: Chain, covariance: Floats, joint: Translate, scale_sigma: float
) -> TravelWavelength | None:
    """Compute what the travel of a stage says of the wavelength.

    Parameters
    ----------
    chain
        Fitted.
    covariance
        Of all its parameters, shape (n, n).
    joint
        A stage of the chain.
    scale_sigma
        Relative standard deviation of the motor's scale.

    Returns
    -------
    TravelWavelength or None
        None where the stage does not move along the beam.
    """
    names = list(chain.parameters())
    indices = [names.index(name) for name in joint.parameters()]
    direction = np.array(joint.direction)
    length = float(np.linalg.norm(direction))
    if length == 0 or abs(direction[2]) < _ALONG_BEAM * length:
        return None
    unit = direction / length
    sigma = float(np.sqrt(unit @ covariance[np.ix_(indices, indices)] @ unit)) / length**2
    return TravelWavelength(joint.link, 1 / length - 1, float(np.hypot(sigma, scale_sigma)))
