"""A smooth distortion of a panel: a sum of Gaussian bumps with random heights, which the points of a fit share."""

import numpy as np

from ponikeeper.protocol import AssumedErrors
from ponikeeper_client.fit._forward_model import Floats, two_theta
from ponikeeper_client.fit._frame import Frame

_REACH = 3
"""How far beyond the panel the bumps lie, in units of their length."""

_NEGLIGIBLE = 1e-3
"""A bump that is lower than this everywhere is left out."""

_STEP = 1e-2
"""Of differences (px)."""


def length_of(frame: Frame, assumed: AssumedErrors) -> float:
    """Return the length of the distortion (m), along the side where it is shorter."""
    return assumed.distortion_length * float(min(np.ptp(axis) for axis in frame.lattice()))


def displacements(
    frame: Frame, params: Floats, y: Floats, x: Floats, per_angle: Floats, assumed: AssumedErrors
) -> Floats:
    """Compute how far each bump with a typical height moves points away from their rings.

    The bumps lie on a grid with a step of their length, which makes the distortion uniform to 1e-4. With the result D,
    the covariance of the points is D D^T.

    Parameters
    ----------
    frame
        The image: its panel is distorted.
    params
        Fit parameters, shape (5,).
    y, x
        Coordinates of the points on the detector (m), shape (n,).
    per_angle
        Lengths on the detector per scattering angle, of each point (px/rad), shape (n,).
    assumed
        Size and length of the distortion.

    Returns
    -------
    ndarray, shape (n, k)
        Of bumps that displace along axis 1, then of those along axis 2 (px).
    """
    along_y, along_x = (
        _bumps(at, float(all_pixels.min()), float(all_pixels.max()), assumed.distortion_length)
        for at, all_pixels in zip((y, x), frame.lattice(), strict=True)
    )
    bumps = (along_y[:, :, None] * along_x[:, None, :]).reshape(len(y), -1)
    bumps = bumps[:, bumps.max(axis=0, initial=0.0) > _NEGLIGIBLE]
    step = _STEP * frame.pixel
    moved: list[Floats] = []
    for dy, dx in ((step, 0.0), (0.0, step)):
        change = two_theta(params, y + dy, x + dx) - two_theta(params, y - dy, x - dx)
        moved.append(bumps * (per_angle * change / (2 * _STEP) * assumed.distortion)[:, None])
    return np.concatenate(moved, axis=1)


def _bumps(at: Floats, low: float, high: float, part: float) -> Floats:
    """Compute Gaussian bumps along one axis at points (m), shape (n, bumps); the sum of their squares is 1."""
    length = part * (high - low)
    centres = np.arange(low - _REACH * length, high + (_REACH + 1) * length, length)
    bumps = np.exp(-0.5 * ((at[:, None] - centres) / length) ** 2)
    return bumps / np.pi**0.25
