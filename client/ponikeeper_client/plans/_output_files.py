"""The files of a calibration: image, PONI and picture, each there whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.system.atomic_write import atomic_path


@dataclass(frozen=True, slots=True)
class Files:
    """Where the files of one detector's calibration are: ``{run_uid}_{data_key}.tiff``, ``.poni``, ``.png``.

    Parameters
    ----------
    folder
        Made where it is not there.
    stem
        The name without its ending.
    """

    folder: Path
    stem: str

    @property
    def image(self) -> Path:
        """The image that was fitted: averaged, the dark subtracted."""
        return self.folder / f"{self.stem}.tiff"

    @property
    def poni(self) -> Path:
        """The geometry."""
        return self.folder / f"{self.stem}.poni"

    @property
    def picture(self) -> Path:
        """Rings, residuals and pattern."""
        return self.folder / f"{self.stem}.png"

    @property
    def gui(self) -> Path:
        """Where pyFAI-calib2 runs."""
        return self.folder / f"{self.stem}.calib2"

    def keep_image(self, image: NDArray[np.float64]) -> None:
        """Write the image in single precision: what counts is not lost, and every program reads it."""
        from fabio.tifimage import TifImage

        with _reported(self.image), atomic_path(self.image) as temporary:
            TifImage(data=image.astype(np.float32)).write(str(temporary))

    def keep_poni(self, geometry: Geometry) -> None:
        """Write the geometry."""
        with _reported(self.poni), atomic_path(self.poni) as temporary:
            temporary.write_bytes(poni.write(geometry).encode("ascii"))

    def keep_picture(self, png: bytes) -> None:
        """Write the picture."""
        with _reported(self.picture), atomic_path(self.picture) as temporary:
            temporary.write_bytes(png)


def require_folder(folder: Path) -> None:
    """Make a folder, and see that it can be written, before anything is exposed.

    Raises
    ------
    CalibrationError
        It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise CalibrationError(
            f"output_dir {folder} cannot be written ({error.strerror}): expected a folder of yours with room in it"
        ) from error


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Report a file that cannot be written.

    Raises
    ------
    CalibrationError
        It could not be written.
    """
    try:
        yield
    except OSError as error:
        raise CalibrationError(f"{path} could not be written ({error.strerror or error}): make room there") from error
