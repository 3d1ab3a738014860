"""Smoothing of an image by Gaussians, and its derivatives: as by `scipy.ndimage`, which takes long to import."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import Floats

Image = NDArray[Any]

_FINE = 2.5
"""Wider Gaussians are computed from means over blocks, so that their width in blocks is at least this."""

_TRUNCATED = 4.0
"""Where a Gaussian ends, in units of its width."""

_THREADS = min(4, os.cpu_count() or 1)
_ROWS = 64
"""Rows that are filtered at once: they fit into the cache of a processor."""


def smooth(image: Image, width: float) -> Image:
    """Smooth an image by a Gaussian.

    Parameters
    ----------
    image
        Shape (y, x), mirrored at its edges.
    width
        Standard deviation (px). The result of a wide one is constant over blocks that are much smaller than it.

    Returns
    -------
    ndarray of float32
        In the shape of the image.
    """
    block = int(width / _FINE)
    if block < 2:
        kernel = _kernel(width, 0)
        return _filtered(_filtered(image, kernel, 0), kernel, 1)
    padding = [(0, -side % block) for side in image.shape]
    blocks = sum_of_blocks(np.pad(image, padding, "edge"), block) / block**2
    smoothed = smooth(blocks, width / block)
    return np.repeat(np.repeat(smoothed, block, axis=0), block, axis=1)[: image.shape[0], : image.shape[1]]


def derivatives(image: Image, width: float) -> dict[tuple[int, int], Image]:
    """Compute the first and second derivatives of an image that is smoothed by a Gaussian.

    Parameters
    ----------
    image
        Shape (y, x), mirrored at its edges.
    width
        Standard deviation (px).

    Returns
    -------
    dict
        By the orders along y and x: (1, 0), (0, 1), (2, 0), (0, 2), (1, 1); float32, in the shape of the image.
    """
    kernels = [_kernel(width, order) for order in range(3)]
    along_y = [_filtered(image, kernel, 0) for kernel in kernels]
    orders = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    return {(y, x): _filtered(along_y[y], kernels[x], 1) for y, x in orders}


def sum_of_blocks(image: Image, block: int) -> Image:
    """Sum square blocks of an image.

    Parameters
    ----------
    image
        Shape (y, x).
    block
        Side of a block (px).

    Returns
    -------
    ndarray
        Shape (y // block, x // block): what is left over at the ends is dropped.
    """
    height, width = (side // block * block for side in image.shape)
    total = image[:height:block, :width:block].copy()
    for row, column in itertools.islice(itertools.product(range(block), repeat=2), 1, None):
        total += image[row:height:block, column:width:block]
    return total


def _kernel(width: float, order: int) -> Floats:
    """Compute a Gaussian or its first or second derivative at 0, 1, 2, ... px; the other half is its mirror image."""
    at = np.arange(int(_TRUNCATED * width + 0.5) + 1)
    gaussian = np.exp(-0.5 * (at / width) ** 2)
    gaussian /= 2 * gaussian.sum() - gaussian[0]
    return gaussian * (1.0, at / width**2, (at / width) ** 2 / width**2 - 1 / width**2)[order]


def _filtered(image: Image, kernel: Floats, axis: int) -> Image:
    """Filter an image along an axis; a kernel that is 0 in the middle is odd."""
    reach = len(kernel) - 1
    padded = np.pad(image, [(reach, reach) if axis == each else (0, 0) for each in (0, 1)], "symmetric")
    combine = np.subtract if kernel[0] == 0 else np.add
    weights = kernel.astype(np.float32)
    result = np.empty(image.shape, np.float32)

    def fill(begin: int) -> None:
        out = result[begin : begin + _ROWS]
        shifts = [_shifted(padded, begin, len(out), step, image.shape[1], axis) for step in range(2 * reach + 1)]
        np.multiply(shifts[reach], weights[0], out=out)
        pair = np.empty_like(out)
        for step in range(1, reach + 1):
            combine(shifts[reach + step], shifts[reach - step], out=pair)
            pair *= weights[step]
            out += pair

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(fill, range(0, len(result), _ROWS)))
    return result


def _shifted(padded: Image, begin: int, rows: int, step: int, columns: int, axis: int) -> Image:
    """Return some rows of a padded image, shifted along an axis."""
    if axis == 0:
        return padded[begin + step : begin + step + rows]
    return padded[begin : begin + rows, step : step + columns]
