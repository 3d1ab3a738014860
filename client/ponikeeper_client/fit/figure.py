"""The picture of a fit: rings on the image, what they leave over, and the integrated pattern."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit._refine import misfit
from ponikeeper_client.fit.fit import Fit

_POINTS = 1500
_DOTS = 90
"""Resolution of the file (1/inch)."""


def draw(fit: Fit, image: NDArray[Any], mask: NDArray[Any] | None, title: str) -> bytes:
    """Draw a fit as a PNG.

    Parameters
    ----------
    image
        Shape (y, x).
    mask
        Nonzero is masked.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained")
    FigureCanvasAgg(figure)  # needs no display
    panels = figure.subplot_mosaic([["image", "residual"], ["image", "pattern"]], width_ratios=(1, 1.2))
    integrator = azimuthal_integrator(fit.geometry, shape=image.shape)
    two_theta = np.degrees(integrator.array_from_unit(image.shape, unit="2th_rad"))
    angles = np.degrees(fit.lines[list(fit.rings)]) if fit.rings else np.degrees(fit.lines[:10])
    show_rings(panels["image"], image, two_theta, angles)
    _show_residuals(panels["residual"], fit)
    hidden = None if mask is None else np.asarray(mask) != 0
    pattern = integrator.integrate1d(image, _POINTS, unit="2th_deg", mask=hidden)
    largest = min(float(two_theta.max()), 1.15 * float(angles.max()))
    show_pattern(panels["pattern"], pattern, np.degrees(fit.lines), largest)
    verdict = "accepted" if fit.accepted else "NOT ACCEPTED: " + fit.problems[0].split(";")[0]
    figure.suptitle(f"{title}\n{verdict}", color="black" if fit.accepted else "tab:red")
    content = io.BytesIO()
    figure.savefig(content, dpi=_DOTS, format="png")
    return content.getvalue()


def show_rings(axes: Any, image: NDArray[Any], two_theta: NDArray[Any], angles: NDArray[Any]) -> None:
    """Show an image, on its upper half the rings of some angles (deg)."""
    low, high = np.percentile(image[np.isfinite(image)], (1, 99.5))
    axes.imshow(image, origin="lower", cmap="Greys", vmin=float(low), vmax=float(max(high, low + 1)))
    upper = two_theta.copy()
    upper[: image.shape[0] // 2] = np.nan  # one half shows the image as it is
    axes.contour(upper, levels=np.unique(angles), colors="tab:red", linewidths=0.6, alpha=0.9)
    axes.set(xlabel="x (px)", ylabel="y (px)", title="image; above, the rings of the geometry")


def show_pattern(axes: Any, pattern: Any, angles: NDArray[Any], largest: float) -> None:
    """Show an integrated pattern with the lines of the standard, up to a largest angle (deg)."""
    shown = pattern.radial <= largest
    axes.plot(pattern.radial[shown], pattern.intensity[shown], color="black", linewidth=1.0)
    axes.vlines(
        angles[angles <= largest], 0, 1, transform=axes.get_xaxis_transform(), colors="tab:red", linewidths=0.6,
        alpha=0.7,
    )  # fmt: skip
    axes.set(xlabel=r"$2\theta$ (deg)", ylabel="intensity (counts)", title="integrated, and the standard's lines")
    axes.set_xlim(left=0, right=largest)


def _show_residuals(axes: Any, fit: Fit) -> None:
    """Show how far each control point is from its ring, by azimuth and, in colour, by ring."""
    points = fit.refined.points
    pixel = float(np.sqrt(fit.geometry.pixel1 * fit.geometry.pixel2))
    off = misfit(fit.refined.place, points, fit.lines, pixel)
    dots = axes.scatter(np.degrees(points.azimuth), off, c=1 + points.line, s=4, cmap="viridis")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.figure.colorbar(dots, ax=axes, label="ring")
    axes.set(xlabel="azimuth (deg)", ylabel="off (px)", xlim=(-180, 180), title="control points: measured - fitted")
