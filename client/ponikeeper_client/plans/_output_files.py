"""Output files of a calibration: image, PONI and figure, written atomically."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.system.atomic_write import atomic_path


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The files of one detector's calibration: ``{run_uid}_{data_key}.tiff``, ``.poni``, ``.png``.

    Parameters
    ----------
    folder
        An existing folder, see `create_folder`.
    stem
        The file names without their suffix.
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
        """The figure with rings, residuals and pattern."""
        return self.folder / f"{self.stem}.png"

    @property
    def gui(self) -> Path:
        """The working folder of pyFAI-calib2."""
        return self.folder / f"{self.stem}.calib2"

    def write_image(self, image: NDArray[np.float64]) -> None:
        """Write the image (counts), shape (y, x), in single precision, which every program reads.

        Raises
        ------
        CalibrationError
            It could not be written.
        """
        from fabio.tifimage import TifImage

        with _write_errors(self.image), atomic_path(self.image) as temporary:
            TifImage(data=image.astype(np.float32)).write(str(temporary))

    def write_poni(self, geometry: Geometry, comments: Sequence[str]) -> None:
        """Write the geometry with comments on what it is, ASCII; raises as `write_image`."""
        with _write_errors(self.poni), atomic_path(self.poni) as temporary:
            temporary.write_bytes(poni.write(geometry, comments).encode("ascii"))

    def write_picture(self, png: bytes) -> None:
        """Write the content of a PNG file; raises as `write_image`."""
        with _write_errors(self.picture), atomic_path(self.picture) as temporary:
            temporary.write_bytes(png)


def create_folder(folder: Path) -> None:
    """Create a folder, and check that files can be written there, before anything is exposed.

    Parameters
    ----------
    folder
        It may exist.

    Raises
    ------
    CalibrationError
        It cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise CalibrationError(
            f"output_dir {folder} cannot be written ({error.strerror}): expected a writable folder with free space"
        ) from error


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Convert an `OSError` to a `CalibrationError` that names the file."""
    try:
        yield
    except OSError as error:
        raise CalibrationError(
            f"{path} could not be written ({error.strerror or error}): free some space there, or choose another "
            "output_dir"
        ) from error
