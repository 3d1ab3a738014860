"""The pixel sizes and panels that pyFAI knows by a detector's name: a packaged table, so the IOC needs no pyFAI.

The table is generated from pyFAI (``python tests/support/make_detector_table.py``); a test compares it with pyFAI.
"""

import functools
import json
from importlib.resources import files
from typing import cast


def pixel_size(name: str) -> tuple[float, float] | None:
    """Look up the pixel size of a detector by pyFAI's name, as pyFAI would.

    Parameters
    ----------
    name
        Class name or any alias that pyFAI knows, in any case, with spaces or underscores.

    Returns
    -------
    tuple of float, or None
        Pixel size along axis 1 and axis 2 (m); None where the name is unknown or has several sizes.
    """
    row = _table().get(_key(name))
    return None if row is None else (row[0], row[1])


def panel_size(name: str) -> tuple[float, float] | None:
    """Look up the size of a detector's panel by pyFAI's name.

    Parameters
    ----------
    name
        As for `pixel_size`.

    Returns
    -------
    tuple of float, or None
        Size along axis 1 and axis 2 (m); None where the name is unknown or the panel has several shapes.
    """
    row = _table().get(_key(name))
    return None if row is None or len(row) < 4 else (row[0] * row[2], row[1] * row[3])


def panel_shape(name: str, pixels: tuple[object, object]) -> tuple[int, int] | None:
    """Compute the shape of the images of a detector by pyFAI's name, with its binning.

    Parameters
    ----------
    name
        As for `pixel_size`.
    pixels
        The pixel size along axis 1 and axis 2 (m): a whole multiple of the detector's own, roughly, where it is binned.

    Returns
    -------
    tuple of int, or None
        Shape (y, x); None as for `panel_size`, or where a pixel size is no number.
    """
    row = _table().get(_key(name))
    if row is None or len(row) < 4:
        return None
    shape: list[int] = []
    for own, count, pixel in zip(row[:2], row[2:4], pixels, strict=True):
        if not isinstance(pixel, int | float):
            return None
        shape.append(int(count) // max(1, round(pixel / own)))
    return shape[0], shape[1]


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")


@functools.cache
def _table() -> dict[str, list[float]]:
    """Read the pixel sizes along both axes (m) and, where there is one, the shape (px) of each detector."""
    text = files("ponikeeper.geometry").joinpath("detectors.json").read_text(encoding="ascii")
    return cast("dict[str, list[float]]", json.loads(text))
