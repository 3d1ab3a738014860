"""Where the pixels of a detector are, and which of them are gaps: by a packaged table, or by pyFAI.

Importing pyFAI takes longer than a fit. The table has the flat detectors with pixels of one size whose gaps are
whole rows and columns; it is made from pyFAI (``python tests/support/make_detector_table.py``), and a test compares
every row of it with pyFAI.
"""

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import panel_size, pixel_size
from ponikeeper_client.documents import azimuthal_integrator

GENERIC = "Detector"
"""pyFAI's name of a flat detector of any shape, without gaps."""

_PLAIN_KEYS = {"orientation", "max_shape", "parallax", "sensor"}
"""Keys of the configuration that move no pixel."""

_FLIPPED = {1: (True, True), 2: (True, False), 3: (False, False), 4: (False, True)}
"""Whether axes 1 and 2 run against the stored image, by pyFAI's orientation."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The pixels of a flat detector.

    Parameters
    ----------
    y, x
        Coordinates of the pixels' centres along axes 1 and 2 (m), shape (y, x).
    gaps
        Which pixels do not exist, shape (y, x); None if all of them do.
    """

    y: NDArray[Any]
    x: NDArray[Any]
    gaps: NDArray[np.bool_] | None


def panel_of(geometry: Geometry, shape: tuple[int, ...]) -> Panel:
    """Find the pixels of a detector.

    Parameters
    ----------
    geometry
        Its detector, pixels and orientation are used.
    shape
        Shape of the images (y, x).

    Returns
    -------
    Panel
        Of this shape.

    Raises
    ------
    ShapeError
        The detector has another shape: its gaps would lie elsewhere.
    ImageError
        The detector is curved.
    """
    known = _tabled(geometry, shape)
    if known is not None:
        return known
    detector = _pyfai_detector(geometry, shape)
    y, x, z = detector.calc_cartesian_positions()
    if z is not None:
        raise ImageError(f"the detector {geometry.detector} is curved: the fit needs a flat one; use the GUI")
    mask = detector.mask
    return Panel(
        np.asarray(y), np.asarray(x), np.asarray(mask) != 0 if mask is not None and mask.shape == shape else None
    )


def point_of(geometry: Geometry, shape: tuple[int, ...], pixel: tuple[float, float]) -> tuple[float, float]:
    """Compute the coordinates along axes 1 and 2 (m) of a place in the stored image, (y, x) (px).

    Parameters as `panel_of`; the place may be off the panel. A detector of another shape, which is binned or read
    out in part, gets that of the images, unless it is curved (`ShapeError`).
    """
    if _tabled(geometry, shape) is not None:
        sides = zip(pixel, shape, _FLIPPED[geometry.orientation], strict=True)
        y, x = (length - 1 - value if flipped else value for value, length, flipped in sides)
        return (y + 0.5) * geometry.pixel1, (x + 0.5) * geometry.pixel2
    detector = azimuthal_integrator(geometry, shape=shape, any_files=True).detector
    y, x, _ = detector.calc_cartesian_positions(*(np.array([value], float) for value in pixel))
    return float(y[0]), float(x[0])


def shape_of(geometry: Geometry) -> tuple[int, int] | None:
    """Look up the shape (y, x) of the images of a detector; None if the table does not have it with these pixels."""
    given = geometry.detector_config.get("max_shape")
    if isinstance(given, tuple) and len(given) == 2:
        height, width = (int(cast("float", side)) for side in given)
        return height, width
    row = _table().get(_key(geometry.detector))
    if row is None or pixel_size(geometry.detector) != (geometry.pixel1, geometry.pixel2):
        return None
    return row[0], row[1]


def image_shape(geometry: Geometry) -> tuple[int, int] | None:
    """Look up the shape (y, x) of the images of a detector, binned ones too; None if its panel is not known."""
    if (known := shape_of(geometry)) is not None:
        return known
    size = panel_size(geometry.detector)
    return None if size is None else (round(size[0] / geometry.pixel1), round(size[1] / geometry.pixel2))


def _tabled(geometry: Geometry, shape: tuple[int, ...]) -> Panel | None:
    """Build a panel without pyFAI; None if that needs pyFAI, also to say what is wrong."""
    config = geometry.detector_config
    if set(config) - _PLAIN_KEYS or shape_of(geometry) not in (shape, None) or geometry.orientation not in _FLIPPED:
        return None
    row = _table().get(_key(geometry.detector))
    pixels = (geometry.pixel1, geometry.pixel2)
    if geometry.detector == GENERIC:
        gaps = None
    elif row is None or tuple(row[:2]) != shape or pixel_size(geometry.detector) != pixels:
        return None
    else:
        gaps = _gaps(row)
    sides = zip(shape, pixels, _FLIPPED[geometry.orientation], strict=True)
    y, x = (
        ((np.arange(n)[:: -1 if flipped else 1] + 0.5) * size).astype(np.float32)  # as pyFAI's: errors of 1e-4 px
        for n, size, flipped in sides
    )
    return Panel(np.broadcast_to(y[:, None], shape), np.broadcast_to(x, shape), gaps)


def _gaps(row: list[Any]) -> NDArray[np.bool_] | None:
    """Build the mask of the rows and columns that do not exist."""
    if not row[2] and not row[3]:
        return None
    gaps = np.zeros(row[:2], bool)
    for first, last in row[2]:
        gaps[first:last] = True
    for first, last in row[3]:
        gaps[:, first:last] = True
    return gaps


def _pyfai_detector(geometry: Geometry, shape: tuple[int, ...]) -> Any:
    """Build pyFAI's detector for an image; a detector without a shape of its own gets the image's.

    Raises
    ------
    ShapeError
        The detector has another shape: its gaps would lie elsewhere.
    """
    try:
        own = azimuthal_integrator(geometry, any_files=True).detector
    except ShapeError:
        own = None
    if own is None or own.shape is None:
        return azimuthal_integrator(geometry, shape=shape, any_files=True).detector
    if tuple(own.shape) != shape:
        raise ShapeError(
            f"the image has shape {shape}, but {geometry.detector} with pixels of {geometry.pixel1!r} m x "
            f"{geometry.pixel2!r} m has {tuple(own.shape)}: is it binned, turned, or another detector?"
        )
    return own


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")


@functools.cache
def _table() -> dict[str, list[Any]]:
    """Read shape, hidden rows and hidden columns of each detector (px)."""
    text = files("ponikeeper_client.fit").joinpath("panels.json").read_text(encoding="ascii")
    return cast("dict[str, list[Any]]", json.loads(text))
