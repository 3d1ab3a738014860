"""The picture at the end of the demonstration: rings of the recorded geometry on the image, and the pattern."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.geometry import Geometry
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client._figures import new_figure, png, set_title
from ponikeeper_client.demo.nickel import lines
from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit.figure import show_pattern, show_rings

_POINTS = 1500
_LARGEST_ANGLE = 30.0
"""Where the rings become too faint and too many to be seen (deg)."""


def draw(path: Path, frame: NDArray[Any], geometry: Geometry, title: str) -> None:
    """Draw an image with the rings of a geometry, next to the integrated pattern.

    Parameters
    ----------
    frame
        Image, shape (y, x), counts.
    geometry
        The recorded geometry.
    """
    integrator = azimuthal_integrator(geometry, shape=frame.shape)
    two_theta = np.degrees(integrator.array_from_unit(frame.shape, unit="2th_rad"))
    angles = np.degrees([angle for angle, _ in lines(geometry.wavelength, np.radians(_LARGEST_ANGLE))])
    pattern = integrator.integrate1d(frame, _POINTS, unit="2th_deg")

    figure = new_figure(13, 5.5, dpi=80)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    show_rings(left, frame, two_theta, angles)
    show_pattern(right, pattern, angles, _LARGEST_ANGLE)
    set_title(figure, title)
    write_atomic(path, png(figure))
