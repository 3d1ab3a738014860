"""Input files of `ponikeeper fit`: images and darks, which are averaged, a mask, and what is recorded of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, ShapeError
from ponikeeper.system.file_hash import sha256_of, sha256_of_files
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client._image_files.averaging import Image, subtract_dark
from ponikeeper_client._image_files.reading import files_of, read_image, read_mask

_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files of one exposure of a powder standard.

    Parameters
    ----------
    images, darks
        Files of any format that `read_image` reads; all frames of each are averaged. No darks subtract nothing.
    mask
        An image or array, nonzero is masked; None for none.
    """

    images: Sequence[str]
    darks: Sequence[str] = ()
    mask: Path | None = None

    @property
    def name(self) -> str:
        """The names of the images, for people."""
        return _names(self.images)

    def read(self) -> tuple[Image, NDArray[np.bool_] | None]:
        """Read the image, averaged over its valid pixels and the dark subtracted, and the mask.

        Returns
        -------
        image : ndarray, shape (y, x)
            Counts; NaN where there is no intensity.
        mask : ndarray of bool, shape (y, x), or None
            Which pixels are masked.

        Raises
        ------
        ImageError
            A file cannot be used.
        MissingExtraError
            A library that reads the format is not installed.
        """
        image = read_image(self.images)
        try:
            image = subtract_dark(image, read_image(self.darks, dark=True) if self.darks else None)
        except ShapeError as error:
            raise ImageError(f"{_names(self.darks)}: {error}") from error
        return image, None if self.mask is None else read_mask(self.mask)

    def provenance(self) -> dict[str, object]:
        """Return what a revision records of the images and the darks: names and SHA-256.

        The mask is recorded as a file of the geometry.
        """
        record: dict[str, object] = {}
        for kind, sources in (("image", self.images), ("dark", self.darks)):
            if sources:
                record |= {kind: _names(sources), f"{kind}_sha256": sha256_of_files(files_of(sources))}
        return record

    def lines(self) -> list[str]:
        """Format what a PONI file says of the input, in ASCII."""
        record: dict[str, Any] = self.provenance()
        lines = [
            f"{kind} {record[kind]}, sha256 {record[f'{kind}_sha256']}" for kind in ("image", "dark") if kind in record
        ]
        if self.mask is not None:
            lines.append(to_ascii(f"mask {self.mask.name}, sha256 {sha256_of(self.mask)}"))
        return lines


def _names(sources: Sequence[str]) -> str:
    """Format the names of files without their folders, in ASCII."""
    names = [Path(source.partition("::")[0]).name + "".join(source.partition("::")[1:]) for source in sources]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return to_ascii(", ".join(names[:_MAX_NAMES]) + more)
