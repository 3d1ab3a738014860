"""Where the direct beam meets the image of a detector, for each orientation of pyFAI."""

from dataclasses import replace
from typing import cast

from ponikeeper.geometry.detectors import panel_size, pixel_size
from ponikeeper.geometry.geometry import DEFAULT_ORIENTATION, Geometry

_FLIPPED = {1: (True, True), 2: (True, False), 3: (False, False), 4: (False, True)}
"""Axes (1, 2) along which pyFAI counts pixels from the other end of the image."""


def beam_on_image(geometry: Geometry) -> tuple[float, float] | None:
    """Return the position of the direct beam on the image.

    Parameters
    ----------
    geometry
        Of any orientation.

    Returns
    -------
    tuple of float, or None
        Position along axis 2 (fast, x) and axis 1 (slow, y) from the corner of the first pixel (px). None if the tilt
        is 90 degrees or more, or the orientation turns the image and its shape is unknown.
    """
    config = {**geometry.detector_config, "orientation": DEFAULT_ORIENTATION}
    upright = replace(geometry, detector_config=config).fit2d
    if upright is None:
        return None
    is_flipped = _FLIPPED[geometry.orientation]
    if not any(is_flipped):
        return upright.beam_x, upright.beam_y
    size = _size(geometry)
    if size is None:
        return None
    y = size[0] / geometry.pixel1 - upright.beam_y if is_flipped[0] else upright.beam_y
    x = size[1] / geometry.pixel2 - upright.beam_x if is_flipped[1] else upright.beam_x
    return x, y


def _size(geometry: Geometry) -> tuple[float, float] | None:
    """Return the size of the image along axes 1 and 2 (m): `max_shape` counts pixels without binning."""
    shape = geometry.detector_config.get("max_shape")
    if not isinstance(shape, tuple) or len(numbers := cast("tuple[float, ...]", shape)) != 2:
        return panel_size(geometry.detector)
    pixels = pixel_size(geometry.detector) or (geometry.pixel1, geometry.pixel2)
    return numbers[0] * pixels[0], numbers[1] * pixels[1]
