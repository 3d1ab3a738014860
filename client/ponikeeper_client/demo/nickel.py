"""The powder standard of the demonstration: the rings of nickel on a detector of known geometry."""

import itertools
import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ponikeeper.geometry import Geometry
from ponikeeper_client.documents import azimuthal_integrator

LATTICE = 3.524
"""Lattice parameter of nickel, fcc (angstrom)."""

_MAX_INDEX = 12
_WIDTH = 3.0
_PEAK_COUNTS = 1500.0
_DAMPING = 8.0
_BACKGROUND = 30.0

_REACH = 5
"""A ring adds nothing farther away than this many of its widths: less than the last bit of the background."""


def lines(wavelength: float, two_theta_max: float) -> list[tuple[float, int]]:
    """List the reflections of nickel.

    Parameters
    ----------
    wavelength
        In m.
    two_theta_max
        In rad.

    Returns
    -------
    list of (float, int)
        Scattering angle 2 theta (rad), ascending, and multiplicity. Source: Bragg's law for the
        allowed reflections of fcc (h, k, l all even or all odd).
    """
    indices = itertools.product(range(-_MAX_INDEX, _MAX_INDEX + 1), repeat=3)
    squares = Counter(h * h + k * k + m * m for h, k, m in indices if h % 2 == k % 2 == m % 2)
    reflections: list[tuple[float, int]] = []
    for square, multiplicity in sorted(squares.items()):
        sine = wavelength * 1e10 * math.sqrt(square) / (2 * LATTICE)
        if 0 < square <= _MAX_INDEX**2 and sine < 1 and 2 * math.asin(sine) <= two_theta_max:
            reflections.append((2 * math.asin(sine), multiplicity))
    return reflections


def image(geometry: Geometry, shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint16]:
    """Simulate an image of nickel powder, with Poisson noise.

    Parameters
    ----------
    geometry
        The true geometry of the detector.
    shape
        Shape (y, x) in pixels.

    Returns
    -------
    ndarray of uint16, shape (y, x)
        Counts.
    """
    two_theta = azimuthal_integrator(geometry, shape=shape).array_from_unit(shape, unit="2th_rad")
    width = _WIDTH * geometry.pixel1 / geometry.dist
    counts = _BACKGROUND * (1 + 2 * np.exp(-two_theta / 0.1))
    order = np.argsort(two_theta, axis=None)
    angles, profile = two_theta.ravel()[order], counts.ravel()[order]
    for angle, multiplicity in lines(geometry.wavelength, float(angles[-1])):
        height = _PEAK_COUNTS * multiplicity / 24 * math.exp(-_DAMPING * angle)
        first, last = np.searchsorted(angles, (angle - _REACH * width, angle + _REACH * width))
        profile[first:last] += height * np.exp(-0.5 * ((angles[first:last] - angle) * (2.355 / width)) ** 2)
    counts.ravel()[order] = profile
    # the solid angle of a pixel of a flat panel falls with its distance from the centre
    return np.random.default_rng(seed).poisson(counts * np.cos(two_theta) ** 3).astype(np.uint16)
