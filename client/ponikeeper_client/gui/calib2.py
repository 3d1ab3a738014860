"""Run pyFAI-calib2 during a plan: a person calibrates in it, and the saved PONI is the result.

The program runs in its own process and its own folder; a PONI that is saved there, under any name, is
the calibration. Wavelength, detector and orientation are passed only in a start PONI: with a detector
on its command line the program ignores the orientation of that PONI, and it has no option for the
orientation.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ponikeeper.errors import Calib2Error, CalibrationCancelled, PoniError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client.gui.display import PROGRAM, default_command, exit_text, find_program

_NEVER_FITTED = b"Distance: None"
_FIT_FIRST = f"{PROGRAM} writes None for each value as long as nothing was fitted or typed; fit, and save again"

_START = "calibration.poni"  # the name that its file dialog proposes
_LOG = "calib2.log"
_LOOK = 0.2
_GRACE = 3.0
"""How long a PONI may be incomplete after the program has ended (s): the folder may be on a file server."""
_TERMINATE = 3.0
_SAME_WAVELENGTH = 1e-9
"""Relative difference: a conversion to angstrom and back changes less, a person more."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A detector without a known geometry: the properties that an image cannot show.

    Parameters
    ----------
    detector
        pyFAI's name.
    pixel1, pixel2
        Pixel size along axis 1 (y) and axis 2 (x) (m).
    detector_config
        ``orientation``, ``max_shape``, ... as in a `Geometry`.
    """

    detector: str
    pixel1: float
    pixel2: float
    detector_config: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Saved:
    """The geometry that a person saved."""

    geometry: Geometry
    path: Path
    warnings: tuple[str, ...] = ()  #: sentences: changes to the given values, and other remarks


class Calib2:
    """One calibration in pyFAI-calib2; any thread may wait for it. As a context manager it ends the program.

    Parameters
    ----------
    image
        A file that fabio reads, such as a TIFF.
    folder
        Where the program runs and saves; created if it does not exist.
    calibrant
        pyFAI's name (``"Ni"``), or a file of d-spacings (``.D``, angstrom).
    wavelength
        In m.
    start
        Where to begin: the active geometry, or only the detector. With None the person also chooses
        the detector, and the orientation is not set.
    mask
        An image file; pixels that are not 0 are masked.
    command
        Program and options; default: `default_command`.
    say
        Called with each line for the person at the screen.
    """

    def __init__(
        self,
        image: Path,
        folder: Path,
        calibrant: str | Path,
        wavelength: float,
        start: Geometry | Panel | None,
        mask: Path | None = None,
        command: Sequence[str] | None = None,
        say: Callable[[str], Any] = print,
    ) -> None:
        self._image, self._mask = image.absolute(), None if mask is None else mask.absolute()
        self._folder, self._wavelength, self._start = folder.absolute(), wavelength, start
        bare = isinstance(calibrant, str) and os.sep not in calibrant and not calibrant.endswith(".D")
        self._calibrant = calibrant if bare else Path(calibrant).absolute()
        self._command = tuple(command or default_command())
        self._say = say
        self._known: dict[Path, bytes] = {}
        self._announced: dict[Path, bytes] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: float | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        """Start the program; return at once.

        Raises
        ------
        NoDisplayError
            There is no such program.
        Calib2Error
            A file that it needs does not exist.
        GeometryError
            The wavelength or the panel is invalid.
        """
        for file in (self._image, self._mask, self._calibrant):
            if isinstance(file, Path) and not file.is_file():
                raise Calib2Error(f"{file} is not there: expected the file that {PROGRAM} is to open")
        program = find_program(self._command[0])
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._start is not None:
            write_atomic(self._folder / _START, start_text(self._start, self._wavelength).encode("ascii"))
        self._known = {path: path.read_bytes() for path in self._folder.glob("*.poni")}
        with (self._folder / _LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [str(program), *self._command[1:], *self._options()],
                cwd=self._folder,  # where its dialogue opens
                stdin=subprocess.DEVNULL,
                stdout=log,  # a pipe that is not read would block it
                stderr=log,
                start_new_session=True,  # Ctrl-C pauses the plan and leaves the window open
            )
        self._say(f"{PROGRAM} opens: calibrate, save the PONI in {self._folder}, the folder it proposes, and close it")
        return self

    def wait(self, cancelled: threading.Event) -> Saved:
        """Wait until the person has closed the window; this blocks the thread.

        Parameters
        ----------
        cancelled
            Ends the program and the waiting.

        Raises
        ------
        CalibrationCancelled
            Nothing was saved, or the event was set.
        Calib2Error
            The program failed, or the saved file is not a whole PONI.
        """
        while (saved := self.poll()) is None:
            if cancelled.wait(_LOOK):
                self.close()
                raise CalibrationCancelled("cancelled: the plan ended before a PONI was saved")
        return saved

    def poll(self) -> Saved | None:
        """Return what was saved once the program has ended, None before; the errors are those of `wait`."""
        if self._process is None:
            raise Calib2Error(f"{PROGRAM} was not started: call start() first")
        # in this order, so that a file saved just before the end is found
        code = self._process.poll()
        files = _changed(self._folder, self._known)
        if code is None:
            self._announce(files)
            return None
        if self._closed:
            raise CalibrationCancelled("cancelled: the plan ended before a PONI was saved")
        self._ended = self._ended or time.monotonic()
        if files and _geometry(files[-1]) is None and time.monotonic() < self._ended + _GRACE:
            return None
        return self._outcome(files, code)

    def close(self) -> None:
        """End the program and its child processes, if it still runs; unsaved work is lost."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._closed = True
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TERMINATE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _options(self) -> list[str]:
        """Return the command line; parameters that one image cannot determine are fixed."""
        options = ["--fix-wavelength", "--fix-rot3", "-c", str(self._calibrant)]
        if self._start is None:
            options += ["-w", repr(self._wavelength * 1e10)]  # angstrom
        else:
            options += ["-i", str(self._folder / _START)]
        if self._mask is not None:
            options += ["-m", str(self._mask)]
        return [*options, str(self._image)]

    def _announce(self, files: list["_File"]) -> None:
        for file in files:
            if self._announced.get(file.path) == file.content:
                continue
            self._announced[file.path] = file.content
            if _NEVER_FITTED in file.content:
                self._say(f"{file.path.name} was saved without a geometry: {_FIT_FIRST}")
            elif _geometry(file) is not None:
                self._say(f"{file.path.name} was saved: close {PROGRAM} to go on with it")

    def _outcome(self, files: list["_File"], code: int) -> Saved:
        """Return the last whole PONI.

        Only after the window is closed: a person may save, look, fit again and save again, and only
        closing the window shows that they are finished.
        """
        warnings: list[str] = []
        for file in reversed(files):
            try:
                geometry = poni.read(file.content)
            except PoniError as error:
                why = _FIT_FIRST if _NEVER_FITTED in file.content else error
                warnings.append(f"{file.path.name} is no whole PONI and was ignored: {why}")
                continue
            if code != 0:
                warnings.append(f"{PROGRAM} ended with {exit_text(code)} after {file.path.name} had been saved")
            warnings += self._differences(file, geometry)
            if self._same_wavelength(geometry):
                geometry = replace(geometry, wavelength=self._wavelength)  # to the last bit
            return Saved(geometry, file.path, tuple(warnings))
        if warnings:
            raise Calib2Error("; ".join(warnings))
        if code != 0:
            raise Calib2Error(
                f"{PROGRAM} ended with {exit_text(code)} and saved nothing; its last words, from "
                f"{self._folder / _LOG}: {_tail(self._folder / _LOG)}"
            )
        raise CalibrationCancelled(
            f"cancelled: {PROGRAM} was closed and no PONI saved in {self._folder} (one that was saved elsewhere "
            f"is not seen: ponikeeper put takes it)"
        )

    def _same_wavelength(self, saved: Geometry) -> bool:
        return abs(saved.wavelength / self._wavelength - 1) <= _SAME_WAVELENGTH

    def _differences(self, file: "_File", saved: Geometry) -> list[str]:
        """Return the differences from the given values: a person may have changed them on purpose, or by mistake."""
        pairs: list[tuple[str, object, object]] = []
        if not self._same_wavelength(saved):
            pairs.append(("wavelength (m)", self._wavelength, saved.wavelength))
        if self._start is not None:
            expected = _whole(self._start, self._wavelength)
            names = ("orientation", "detector", "pixel1", "pixel2")
            pairs += [(name, getattr(expected, name), getattr(saved, name)) for name in names]
        named = re.findall(rb"^# Calibrant: (.*?)\r?$", file.content, re.MULTILINE)
        calibrant = self._calibrant if isinstance(self._calibrant, str) else self._calibrant.stem
        pairs += [("calibrant", calibrant, name.decode(errors="replace")) for name in named[-1:]]
        return [
            f"{file.path.name} was saved with another {name} than was given: {saved_value}, not {expected}"
            for name, expected, saved_value in pairs
            if saved_value != expected
        ]


def start_text(start: Geometry | Panel, wavelength: float) -> str:
    """Write the PONI with which the program starts.

    Parameters
    ----------
    start
        For a panel the PONI has only the detector, which the program accepts: it then begins from
        the rings.
    wavelength
        In m; it replaces that of a geometry.

    Raises
    ------
    GeometryError
        The wavelength or the panel is invalid.
    """
    lines = poni.write(_whole(start, wavelength)).splitlines(keepends=True)
    unknown = ("Distance:", "Poni1:", "Poni2:", "Rot1:", "Rot2:", "Rot3:") if isinstance(start, Panel) else ()
    return "".join(line for line in lines if not line.startswith(unknown))


@dataclass(frozen=True, slots=True)
class _File:
    """A PONI file in the folder."""

    path: Path
    changed: int  # the inode's change (ns): a copy or a renamed file keeps the older time of its content
    content: bytes


def _whole(start: Geometry | Panel, wavelength: float) -> Geometry:
    """Return the start as a geometry, for a panel with an arbitrary position; the orientation is always explicit."""
    if isinstance(start, Panel):
        values = {"detector": start.detector, "pixel1": start.pixel1, "pixel2": start.pixel2, "dist": 1.0}
        values |= dict.fromkeys(("poni1", "poni2", "rot1", "rot2", "rot3"), 0.0)
        start = Geometry.parse({**values, "wavelength": wavelength, "detector_config": start.detector_config})
    config = {**start.detector_config, "orientation": start.orientation}
    return replace(start, wavelength=wavelength, detector_config=config)


def _changed(folder: Path, known: Mapping[Path, bytes]) -> list[_File]:
    """Return the PONI files whose content is new since the start, the newest last."""
    files: list[_File] = []
    for path in folder.glob("*.poni"):
        with contextlib.suppress(FileNotFoundError):  # renamed or removed just now
            files.append(_File(path, path.stat().st_ctime_ns, path.read_bytes()))
    old = set(known.values())
    return sorted((file for file in files if file.content not in old), key=lambda file: file.changed)


def _geometry(file: _File) -> Geometry | None:
    try:
        return poni.read(file.content)
    except PoniError:
        return None


def _tail(log: Path) -> str:
    return log.read_bytes()[-800:].decode(errors="replace").strip() or "none"
