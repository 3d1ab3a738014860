"""Output of `ponikeeper fit`: a PONI file with a picture next to it, or the picture of a fit that was rejected."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.system.atomic_write import write_atomic

Ask = Callable[[str], bool | None]
"""Asks a question at a terminal; None if it was not answered."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The PONI file of a fit, and the pictures next to it.

    Parameters
    ----------
    poni
        The file that is named with ``-o``.
    """

    poni: Path

    @property
    def picture(self) -> Path:
        """The picture of an accepted fit."""
        return self.poni.with_suffix(".png")

    @property
    def rejected_picture(self) -> Path:
        """The picture of a rejected fit; another name, or it would lie next to the PONI of an earlier fit."""
        return self.poni.with_name(f"{self.poni.stem}.rejected.png")

    def check(self, ask: Ask | None) -> None:
        """Check before the fit that the files can be written, and ask before they replace others.

        Parameters
        ----------
        ask
            None if there is no terminal: then they are replaced.

        Raises
        ------
        CalibrationError
            The folder is missing or cannot be written, the name is that of a folder or picture, or the answer is no.
        """
        path, folder = self.poni, self.poni.parent
        if str(path) == "-" or path.is_dir() or path.suffix.lower() == ".png":
            raise CalibrationError(
                f"-o {path}: expected the name of a PONI file, such as new.poni; the picture is written next to it"
            )
        if not folder.is_dir():
            raise CalibrationError(f"-o {path}: the folder {folder} does not exist: make it, mkdir -p {folder}")
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0" * 4096)
        except OSError as error:
            raise CalibrationError(
                f"-o {path}: the folder {folder} cannot be written ({error.strerror}): expected a writable folder with "
                "free space"
            ) from error
        there = self._there()
        if there and ask is not None and not ask(f"{' and '.join(there)} exists: replace it?"):
            raise CalibrationError(f"-o {path}: nothing was fitted or written: choose another name")

    def write_poni(self, geometry: Geometry, comments: Sequence[str]) -> str:
        """Write the geometry with comments, ASCII; return a line for people.

        Raises
        ------
        FileWriteError
            It cannot be written.
        """
        replaced = " (replaced)" if self.poni.exists() else ""
        write_atomic(self.poni, poni.write(geometry, comments).encode("ascii"))
        return f"wrote {self.poni}{replaced}"

    def write_picture(self, png: bytes, accepted: bool) -> str:
        """Write the content of a PNG file; return and raise as `write_poni`."""
        path = self.picture if accepted else self.rejected_picture
        replaced = " (replaced)" if path.exists() else ""
        write_atomic(path, png)
        return f"wrote {path}{replaced}"

    def _there(self) -> list[str]:
        return [str(path) for path in (self.poni, self.picture) if path.exists()]
