"""The powder standards: pyFAI's by name, or a .D file; which angles their lines have."""

import difflib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import CalibrantError
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client.fit._forward_model import Floats

NICKEL_LATTICE = 3.524e-10
"""Of nickel at room temperature (m), as xpdAcq has it; pyFAI's 3.5239 is nearer to it than any beam is known."""

_FCC_LINES = 60
_SAME = 1e-6
"""Lines nearer to each other than this (relative) are one."""


@dataclass(frozen=True, slots=True)
class Calibrant:
    """A powder standard.

    Parameters
    ----------
    name
        As a record names it.
    spacings
        Lattice spacings, descending (m).
    """

    name: str
    spacings: tuple[float, ...]

    def lines(self, wavelength: float, largest: float = np.pi / 2) -> Floats:
        """List the scattering angles 2 theta of the lines (rad), ascending, up to a largest one.

        Source: Bragg's law.
        """
        sines = wavelength / 2 / np.array(self.spacings)
        angles = 2 * np.arcsin(sines[sines < 1])
        return angles[angles < largest]

    def pyfai(self, wavelength: float) -> object:
        """Give pyFAI's calibrant of the same lines."""
        from pyFAI.calibrant import Calibrant as PyFaiCalibrant

        return PyFaiCalibrant(dspacing=[spacing * 1e10 for spacing in self.spacings], wavelength=wavelength)

    def write(self, path: Path) -> None:
        """Write the .D file that pyFAI reads, lattice spacings in angstrom."""
        lines = "\n".join(f"{spacing * 1e10:.8f}" for spacing in self.spacings)
        write_atomic(path, f"# Calibrant: {self.name}\n{lines}\n".encode("ascii"))


def calibrant(name: str | Path | Calibrant) -> Calibrant:
    """Find a calibrant.

    Parameters
    ----------
    name
        One of pyFAI's names (``Ni``, ``LaB6``, ``CeO2``, ``AgBh``, ``Si``, ...), or a .D file.

    Raises
    ------
    CalibrantError
        There is none of that name, or the file lists no lattice spacings; the message lists what exists.
    """
    if isinstance(name, Calibrant):
        return name
    path = Path(name)
    if path.suffix == ".D":
        return Calibrant(path.stem, _read(path))
    known = calibrant_names()
    if str(name) not in known:
        close = difflib.get_close_matches(str(name).lower(), [item.lower() for item in known], n=1)
        meant = "".join(f" (did you mean {item}?)" for item in known if close == [item.lower()])
        exist = " ".join(known)
        raise CalibrantError(f"calibrant {str(name)!r} is unknown{meant}: expected a .D file, or one of {exist}")
    if str(name) == "Ni":  # pyFAI lists five lines: with so few a real image converged 2.8 % off in distance
        return Calibrant("Ni", _face_centred(NICKEL_LATTICE))
    from pyFAI.calibrant import get_calibrant

    return Calibrant(str(name), _distinct(value * 1e-10 for value in get_calibrant(str(name)).dspacing))


def calibrant_names() -> list[str]:
    """List the names that `calibrant` knows."""
    from pyFAI.calibrant import names

    return sorted(names())


def _read(path: Path) -> tuple[float, ...]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CalibrantError(f"{path}: {error.strerror}: expected a .D file, lattice spacings in angstrom") from error
    found: list[float] = []
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        try:
            value = float(text.split()[0])
        except ValueError:
            value = 0.0
        if not 0.01 < value < 1000:
            raise CalibrantError(f"{path}: line {number}, {text!r}: expected a lattice spacing in angstrom")
        found.append(value * 1e-10)
    if not found:
        raise CalibrantError(f"{path} lists no lattice spacings: expected one a line, in angstrom")
    return _distinct(found)


def _face_centred(lattice: float) -> tuple[float, ...]:
    """List the spacings of a face-centred cubic lattice: h, k, l all even or all odd."""
    indices = itertools.product(range(13), repeat=3)
    squares = {h * h + k * k + m * m for h, k, m in indices if h % 2 == k % 2 == m % 2} - {0}
    return tuple(lattice / float(np.sqrt(square)) for square in sorted(squares)[:_FCC_LINES])


def _distinct(spacings: Iterable[float]) -> tuple[float, ...]:
    found: list[float] = []
    for spacing in sorted(spacings, reverse=True):
        if not found or found[-1] - spacing > _SAME * spacing:
            found.append(spacing)
    return tuple(found)


def nearest_index(ascending: Floats, values: Floats) -> NDArray[np.intp]:
    """Give the index of the nearest of some ascending numbers."""
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def spacing(lines: Floats) -> Floats:
    """Give each line's distance to its nearest neighbour (rad)."""
    if len(lines) == 1:
        return np.array([np.pi])
    gaps = np.diff(lines)
    return np.minimum(np.r_[gaps[0], gaps], np.r_[gaps, gaps[-1]])
