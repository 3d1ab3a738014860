"""How sure a fitted geometry is: the errors of its rings over the panel, and what a revision records of them."""

from dataclasses import asdict, dataclass

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper.protocol import AssumedErrors
from ponikeeper.protocol.origin import circle_text
from ponikeeper_client._geometry_errors import GeometryErrors
from ponikeeper_client.fit._forward_model import Floats, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined
from ponikeeper_client.fit._uncertainty import Uncertainty, uncertainty

_SAMPLES = 24
"""Points along each side of the panel at which errors are evaluated."""

_LEAST_POINTS = 0.5
"""Least part of the control points in the circle in which a geometry is valid."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A part of the detector.

    Parameters
    ----------
    y, x
        Its centre along axes 1 and 2 (m).
    radius
        Its radius (m).
    """

    y: float
    x: float
    radius: float

    def text(self) -> str:
        """Format the circle for people."""
        return circle_text(asdict(self))


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure a fitted geometry is.

    Parameters
    ----------
    uncertainty
        The errors of the fit parameters.
    errors
        The same as a covariance of the geometry.
    panel_px
        Standard deviation of ring positions at the given wavelength (px rms over the panel).
    accuracy
        Largest standard deviation of 2 theta on the panel, that of the wavelength included (rad).
    samples
        Points of the panel and the standard deviations of ring positions there: y, x (m), deviation (px), shape (3, n).
    points
        The control points: y, x (m), shape (2, n).
    """

    uncertainty: Uncertainty
    errors: GeometryErrors
    panel_px: float
    accuracy: float
    samples: Floats
    points: Floats

    def describe(self) -> list[tuple[str, str]]:
        """Format the certainty for people.

        Returns
        -------
        list of (str, str)
            Names and values: of the uncertainty of the rings, of the accuracy, of a distortion that is larger than
            assumed, and of the wavelength.
        """
        unsure = self.uncertainty
        lines = [
            ("uncertainty", f"{self.panel_px:.2g} px rms over the panel, at this wavelength"),
            (
                "accuracy",
                f"{np.degrees(self.accuracy):.2g} deg in 2 theta, with {100 * unsure.wavelength_sigma:.2g} % of the "
                "wavelength",
            ),
        ]
        if text := self.larger_distortion():
            lines.append(("distortion", text))
        if np.isfinite(unsure.preferred_sigma):
            text = f"the rings prefer {100 * unsure.preferred:+.2f} % +- {100 * unsure.preferred_sigma:.2g} %"
            lines.append(("wavelength", text))
        return lines

    def larger_distortion(self) -> str:
        """Describe the distortion of the panel that the residuals show; empty if it is not larger than assumed."""
        shown, assumed = self.uncertainty.distortion_px, self.uncertainty.assumed.distortion
        if shown <= assumed:
            return ""
        return f"the residuals show a distortion of {shown:.2g} px rms along each axis, {assumed:g} px is assumed"

    def valid_within(self, limit: float) -> Circle | None:
        """Find the largest circle about the middle of the control points in which the rings are certain.

        Parameters
        ----------
        limit
            Largest standard deviation of ring positions (px).

        Returns
        -------
        Circle or None
            None if it would not have at least half of the control points.
        """
        middle = np.median(self.points, axis=1)
        away, deviation = np.hypot(*(self.samples[:2] - middle[:, None])), self.samples[2]
        radius = float(away[deviation > limit].min(initial=away.max()))
        if np.mean(np.hypot(*(self.points - middle[:, None])) < radius) < _LEAST_POINTS:
            return None
        return Circle(float(middle[0]), float(middle[1]), radius)

    def provenance(self) -> dict[str, object]:
        """Return what a revision records of it.

        Returns
        -------
        dict
            Sigma and covariance (m, rad), accuracy (deg), uncertainty (px), the distortion that the residuals show
            (px), the assumed errors, and the wavelength that the rings prefer, with its sigma (m), where they prefer
            one.
        """
        unsure, wavelength = self.uncertainty, self.errors.geometry.wavelength
        record: dict[str, object] = {
            "sigma": self.errors.sigma(),
            "covariance": self.errors.record(),
            "accuracy_deg": float(np.degrees(self.accuracy)),
            "uncertainty_px": self.panel_px,
            "distortion_px": unsure.distortion_px,
            "assumed": unsure.assumed.as_dict(),
        }
        if np.isfinite(unsure.preferred_sigma):
            record["preferred_wavelength"] = {
                "wavelength": wavelength * (1 + unsure.preferred),
                "sigma": wavelength * unsure.preferred_sigma,
            }
        return record


def certainty(
    frame: Frame, refined: Refined, lines: Floats, geometry: Geometry, assumed: AssumedErrors
) -> Certainty | None:
    """Compute how sure a fitted geometry is.

    Parameters
    ----------
    frame, refined, lines, assumed
        As for `uncertainty`.
    geometry
        That of the fitted parameters.

    Returns
    -------
    Certainty or None
        None as for `uncertainty`.
    """
    unsure = uncertainty(frame, refined, lines, assumed)
    if unsure is None:
        return None
    y, x = _panel(frame)
    errors = unsure.errors(refined.params, geometry)
    scale = radius_per_angle(refined.params, two_theta(refined.params, y, x)) / frame.pixel
    deviations = unsure.at_given_wavelength(refined.params, geometry).sigma_two_theta(y, x) * scale
    accuracy = float(errors.sigma_two_theta(y, x).max())
    samples = np.stack([y.ravel(), x.ravel(), deviations.ravel()]).astype(float)
    points = np.stack([refined.points.y, refined.points.x])
    return Certainty(unsure, errors, float(np.sqrt(np.mean(deviations**2))), accuracy, samples, points)


def _panel(frame: Frame) -> tuple[Floats, Floats]:
    """Sample the panel up to its edges: coordinates (m), shape (n, m) each."""
    rows, columns = (np.linspace(0, side - 1, _SAMPLES).round().astype(int) for side in frame.image.shape)
    lattice = np.ix_(rows, columns)
    return frame.y[lattice], frame.x[lattice]
