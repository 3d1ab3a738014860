"""Figure of a fit: the rings on the image, the residuals of the control points, and the integrated pattern."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit._refine import residuals_px
from ponikeeper_client.fit.fit import Fit

_PATTERN_POINTS = 1500
_DPI = 90


def draw(fit: Fit, image: NDArray[Any], mask: NDArray[Any] | None, title: str) -> bytes:
    """Draw a fit as a PNG.

    Parameters
    ----------
    fit
        Accepted or rejected; the title says which.
    image
        Intensities (counts), shape (y, x).
    mask
        Shape (y, x); nonzero is masked.
    title
        First line of the title.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained")
    FigureCanvasAgg(figure)  # a canvas that needs no display
    panels = figure.subplot_mosaic([["image", "residual"], ["image", "pattern"]], width_ratios=(1, 1.2))
    integrator = azimuthal_integrator(fit.geometry, shape=image.shape, any_files=True)
    two_theta = np.degrees(integrator.array_from_unit(image.shape, unit="2th_rad"))
    angles = np.degrees(fit.lines[list(fit.rings)]) if fit.rings else np.degrees(fit.lines[:10])
    show_rings(panels["image"], image, two_theta, angles)
    _show_residuals(panels["residual"], fit)
    hidden = None if mask is None else np.asarray(mask) != 0
    pattern = integrator.integrate1d(image, _PATTERN_POINTS, unit="2th_deg", mask=hidden)
    largest = min(float(two_theta.max()), 1.15 * float(angles.max()))
    show_pattern(panels["pattern"], pattern, np.degrees(fit.lines), largest)
    outcome = "accepted" if fit.accepted else "REJECTED: " + fit.problems[0].split(";")[0]
    figure.suptitle(f"{title}\n{outcome}", color="black" if fit.accepted else "tab:red")
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()


def show_rings(axes: Any, image: NDArray[Any], two_theta: NDArray[Any], angles: NDArray[Any]) -> None:
    """Draw an image, with rings on its upper half.

    Parameters
    ----------
    axes
        matplotlib axes.
    image
        Intensities (counts), shape (y, x).
    two_theta
        Scattering angle of each pixel (deg), shape (y, x).
    angles
        Scattering angles of the rings (deg), shape (n,).
    """
    low, high = np.percentile(image[np.isfinite(image)], (1, 99.5))
    axes.imshow(image, origin="lower", cmap="Greys", vmin=float(low), vmax=float(max(high, low + 1)))
    upper = two_theta.copy()
    upper[: image.shape[0] // 2] = np.nan  # the lower half shows the image alone
    axes.contour(upper, levels=np.unique(angles), colors="tab:red", linewidths=0.6, alpha=0.9)
    axes.set(xlabel="x (px)", ylabel="y (px)", title="image; upper half: rings of the geometry")


def show_pattern(axes: Any, pattern: Any, angles: NDArray[Any], largest: float) -> None:
    """Draw an integrated pattern with the lines of the standard.

    Parameters
    ----------
    axes
        matplotlib axes.
    pattern
        Result of pyFAI's `integrate1d`, in deg and counts.
    angles
        Scattering angles of the lines (deg), shape (n,).
    largest
        Upper limit of the angle (deg).
    """
    inside = pattern.radial <= largest
    axes.plot(pattern.radial[inside], pattern.intensity[inside], color="black", linewidth=1.0)
    axes.vlines(
        angles[angles <= largest], 0, 1, transform=axes.get_xaxis_transform(), colors="tab:red", linewidths=0.6,
        alpha=0.7,
    )  # fmt: skip
    axes.set(xlabel=r"$2\theta$ (deg)", ylabel="intensity (counts)", title="integrated, with lines of the standard")
    axes.set_xlim(left=0, right=largest)


def _show_residuals(axes: Any, fit: Fit) -> None:
    """Draw the distance of each control point from its ring by azimuth, the ring in colour."""
    points = fit.refined.points
    pixel = float(np.sqrt(fit.geometry.pixel1 * fit.geometry.pixel2))
    residuals = residuals_px(fit.refined.params, points, fit.lines, pixel)
    dots = axes.scatter(np.degrees(points.azimuth), residuals, c=1 + points.line, s=4, cmap="viridis")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.figure.colorbar(dots, ax=axes, label="ring")
    axes.set(xlabel="azimuth (deg)", ylabel="residual (px)", xlim=(-180, 180), title="control points: measured - fit")
