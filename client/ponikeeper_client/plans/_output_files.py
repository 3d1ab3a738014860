"""The files of a calibration: image, PONI and picture, each there whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni


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

        def write(path: Path) -> None:
            from fabio.tifimage import TifImage

            TifImage(data=image.astype(np.float32)).write(str(path))

        _whole(self.image, write)

    def keep_poni(self, geometry: Geometry) -> None:
        """Write the geometry."""
        _whole(self.poni, lambda path: path.write_text(poni.write(geometry), encoding="ascii"))

    def keep_picture(self, draw: Callable[[Path], Any]) -> None:
        """Write what a function draws."""
        _whole(self.picture, draw)


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


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let a function write a file that is in its place only when it is whole, and on disk.

    Raises
    ------
    CalibrationError
        It could not be written.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CalibrationError(f"{path} could not be written ({error.strerror or error}): make room there") from error
