"""Input of the fit: intensities, which pixels are valid, and where each pixel lies on the detector."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError
from ponikeeper.geometry import Geometry
from ponikeeper_client._image_files.averaging import valid_pixels
from ponikeeper_client.fit._forward_model import Floats
from ponikeeper_client.fit._panel import panel_of
from ponikeeper_client.fit._smoothing import smooth, sum_of_blocks

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """An image on its detector.

    Parameters
    ----------
    image
        Intensities (counts), shape (y, x), finite where valid.
    valid
        Which pixels are used, shape (y, x).
    y, x
        Coordinates of the pixels' centres on the detector along axes 1 and 2 (m), shape (y, x).
    pixel
        Geometric mean of the pixel's sides (m): the unit px of lengths on the detector.
    """

    image: NDArray[np.float32]
    valid: Mask
    y: Floats
    x: Floats
    pixel: float

    @classmethod
    def of(cls, image: NDArray[Any], geometry: Geometry, mask: NDArray[Any] | None = None) -> Self:
        """Build the frame of an image on the detector of a geometry.

        Not valid are masked pixels, the detector's gaps, values that are not finite or far more negative
        than noise, and saturated ones.

        Parameters
        ----------
        image
            Intensities, shape (y, x), integers or floats.
        geometry
            Its detector, pixels and orientation are used.
        mask
            Shape (y, x); nonzero is masked.

        Returns
        -------
        Frame
            With at least one valid pixel.

        Raises
        ------
        ImageError
            The image does not have two dimensions or holds no real numbers, the mask has another shape, the
            detector is curved, or no pixel is valid.
        ShapeError
            The detector does not have the image's shape.
        """
        if image.ndim != 2:
            raise ImageError(f"the image has shape {image.shape}: expected two dimensions, (y, x)")
        if image.dtype.kind not in "iuf":
            raise ImageError(f"the image is of type {image.dtype}: expected integers or floats")
        panel = panel_of(geometry, image.shape)
        valid = valid_pixels(image)
        if panel.gaps is not None:
            valid &= ~panel.gaps
        if mask is not None:
            if mask.shape != image.shape:
                raise ImageError(f"the mask has shape {mask.shape} and the image {image.shape}: expected the same")
            valid &= np.asarray(mask) == 0
        if not valid.any():
            raise ImageError("every pixel is masked, saturated or negative, or not finite: there is no image to fit")
        values = image.astype(np.float32)
        values[~valid] = 0
        return cls(values, valid, panel.y, panel.x, float(np.sqrt(geometry.pixel1 * geometry.pixel2)))

    def lattice(self) -> tuple[Floats, Floats]:
        """Return `y` and `x` for arithmetic, which is faster if the pixels form a lattice: shapes (y, 1) and (1, x)."""
        if self.y.strides[1] == 0 and self.x.strides[0] == 0:
            return self.y[:, :1], self.x[:1]
        return self.y, self.x

    @property
    def diagonal(self) -> float:
        """Length of the detector's diagonal (m)."""
        height, width = (float(np.ptp(axis)) for axis in self.lattice())
        return float(np.hypot(height, width))

    def binned(self, largest: int) -> Self:
        """Average square blocks of pixels, so that no side has more than `largest` of them.

        Parameters
        ----------
        largest
            Largest number of blocks along a side.

        Returns
        -------
        Frame
            Itself if it is small enough; a block is valid if at least half of its pixels are.
        """
        block = -(-max(self.image.shape) // largest)
        if block == 1:
            return self
        counted, summed = sum_of_blocks(self.valid.astype(np.float32), block), sum_of_blocks(self.image, block)
        y, x = (np.broadcast_to(_middles_of_blocks(axis, block), counted.shape) for axis in self.lattice())
        means = np.asarray(summed / np.maximum(counted, 1), np.float32)
        return type(self)(means, counted >= block * block / 2, y, x, self.pixel * block)

    def stabilized(self) -> NDArray[np.float32]:
        """Compute the image with uniform noise and without holes, for the detection of ridges.

        The square root makes Poisson noise uniform (Anscombe); invalid pixels are filled from their
        surroundings; hot pixels are clipped.

        Returns
        -------
        ndarray, shape (y, x)
            Square roots of counts above the background.
        """
        counted = self.image[self.valid]
        low, high = np.percentile(counted, (0.5, 99.8))
        high = max(high, low + 1e-6)
        image = np.clip(self.image, low, high + 2 * (high - low)) - low
        image = np.sqrt(image + 0.25 * max(float(np.median(counted)) - low, 1e-3 * (high - low)))
        return _filled(image.astype(np.float32), self.valid)


def _middles_of_blocks(coordinates: Floats, block: int) -> Floats:
    """Compute the middles of square blocks from the coordinates of the pixels; an axis of length 1 stays."""
    ends: list[Floats] = []
    for inside in (0, block - 1):
        part = (slice(inside, side // block * block, block) if side > 1 else slice(None) for side in coordinates.shape)
        ends.append(coordinates[tuple(part)])
    return (ends[0] + ends[1]) / 2


def _filled(image: NDArray[np.float32], valid: Mask) -> NDArray[np.float32]:
    """Fill invalid pixels with the mean of their surroundings, in ever wider circles."""
    missing = ~valid
    out = image.copy()
    weight = valid.astype(np.float32)
    for width in (2, 8, 32, 128):
        if not missing.any():
            return out
        near = smooth(weight, width)
        mean = smooth(np.where(valid, image, 0), width)
        fillable = missing & (near > 0.02)
        out[fillable] = mean[fillable] / near[fillable]
        missing &= ~fillable
    out[missing] = np.median(image[valid])
    return out
