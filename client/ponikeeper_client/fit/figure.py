"""Figure of a fit: the rings on the image, the residuals of the control points, and the integrated pattern."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client._figures import new_figure, png, set_title
from ponikeeper_client.fit._forward_model import Floats, params_of, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import residuals_px
from ponikeeper_client.fit.fit import Fit

_PATTERN_POINTS = 1500
_SIZE = 14, 8
"""Width and height (inches)."""

_CONTOUR_SIDE = 512
"""Rings are drawn through about so many points along each side of the image."""


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
    figure = new_figure(*_SIZE)
    panels = figure.subplot_mosaic([["image", "residual"], ["image", "pattern"]], width_ratios=(1, 1.2))
    frame = Frame.of(image, fit.geometry, mask)
    angle = np.degrees(two_theta(params_of(fit.geometry), frame.y, frame.x))
    angles = np.degrees(fit.lines[list(fit.rings)]) if fit.rings else np.degrees(fit.lines[:10])
    show_rings(panels["image"], image, angle, angles)
    _show_residuals(panels["residual"], fit)
    pattern = _integrated(angle[frame.valid], frame.image[frame.valid])
    largest = min(float(angle.max()), 1.15 * float(angles.max()))
    show_pattern(panels["pattern"], pattern, np.degrees(fit.lines), largest)
    outcome = "accepted" if fit.accepted else "REJECTED: " + fit.problems[0].split(";")[0]
    certain = [] if fit.certainty is None else fit.certainty.describe()
    lines = [title, outcome, "; ".join(f"{name}: {value}" for name, value in certain)]
    if fit.valid_within is not None:
        lines.append(f"valid {fit.valid_within.text()}")
    return _png(figure, "\n".join(filter(None, lines)), fit.accepted)


def draw_image(image: NDArray[Any], title: str, problem: str) -> bytes:
    """Draw an image in which no rings were found, as a PNG.

    Parameters
    ----------
    image
        Intensities (counts), shape (y, x).
    title
        First line of the title.
    problem
        Why there is no fit.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    figure = new_figure(*_SIZE)
    axes = figure.subplots()
    _show_image(axes, image)
    axes.set(xlabel="x (px)", ylabel="y (px)")
    return _png(figure, f"{title}\nREJECTED: {problem.split(';', maxsplit=1)[0]}", accepted=False)


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
    _show_image(axes, image)
    step = max(1, max(image.shape) // _CONTOUR_SIDE)
    rows, columns = np.arange(image.shape[0] // 2, image.shape[0], step), np.arange(0, image.shape[1], step)
    upper = two_theta[np.ix_(rows, columns)]  # the lower half shows the image alone
    axes.contour(columns, rows, upper, levels=np.unique(angles), colors="tab:red", linewidths=0.6, alpha=0.9)
    axes.set(xlabel="x (px)", ylabel="y (px)", title="image; upper half: rings of the geometry")


def show_pattern(axes: Any, pattern: Any, angles: NDArray[Any], largest: float) -> None:
    """Draw an integrated pattern with the lines of the standard.

    Parameters
    ----------
    axes
        matplotlib axes.
    pattern
        With `radial` (deg) and `intensity` (counts), such as the result of pyFAI's `integrate1d`.
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


class _Pattern(NamedTuple):
    """The mean intensity (counts) by scattering angle (deg)."""

    radial: Floats
    intensity: Floats


def _integrated(angle: Floats, intensity: NDArray[Any]) -> _Pattern:
    """Average the intensity (counts) in equal steps of the scattering angle (deg), where a step has a pixel."""
    edges = np.linspace(float(angle.min()), float(angle.max()), _PATTERN_POINTS + 1)
    step = np.minimum((angle - edges[0]) * (_PATTERN_POINTS / (edges[-1] - edges[0] + 1e-12)), _PATTERN_POINTS - 1)
    count = np.bincount(step.astype(np.intp), minlength=_PATTERN_POINTS)
    total = np.bincount(step.astype(np.intp), intensity, _PATTERN_POINTS)
    used = count > 0
    return _Pattern(((edges[1:] + edges[:-1]) / 2)[used], total[used] / count[used])


def _png(figure: Any, title: str, accepted: bool) -> bytes:
    set_title(figure, title, "black" if accepted else "tab:red")
    return png(figure)


def _show_image(axes: Any, image: NDArray[Any]) -> None:
    used = image[np.isfinite(image)]
    low, high = np.percentile(used, (1, 99.5)) if used.size else (0.0, 1.0)
    axes.imshow(image, origin="lower", cmap="Greys", vmin=float(low), vmax=float(max(high, low + 1)))


def _show_residuals(axes: Any, fit: Fit) -> None:
    """Draw the distance of each control point from its ring by azimuth, the ring in colour."""
    from matplotlib.ticker import MaxNLocator

    points = fit.refined.points
    pixel = float(np.sqrt(fit.geometry.pixel1 * fit.geometry.pixel2))
    residuals = residuals_px(fit.refined.params, points, fit.lines, pixel)
    dots = axes.scatter(np.degrees(points.azimuth), residuals, c=1 + points.line, s=4, cmap="viridis")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.figure.colorbar(dots, ax=axes, label="ring", fraction=0.11, pad=0.02, ticks=MaxNLocator(8, integer=True))
    axes.set(xlabel="azimuth (deg)", ylabel="residual (px)", xlim=(-180, 180), title="control points: measured - fit")
