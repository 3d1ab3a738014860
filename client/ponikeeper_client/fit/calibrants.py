"""Powder standards: pyFAI's by name, or a .D file; the scattering angles of their lines."""

import difflib
import functools
import importlib.util
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import CalibrantError, MissingExtraError
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client.fit._forward_model import Floats

NICKEL_LATTICE = 3.524e-10
"""Lattice constant of nickel at room temperature (m), as in xpdAcq; pyFAI's 3.5239 angstrom differs by less than
the accuracy of any wavelength."""

_FCC_LINES = 60
_SAME = 1e-6
"""Spacings that differ by less than this (relative) are one line."""

_COMPARED, _SAME_LATTICE = 8, 1e-3
"""Standards whose first lines differ by less than this (relative) are one lattice."""

USUAL_STANDARDS = ("AgBh", "Al", "Au", "CeO2", "Cr2O3", "LaB6", "Ni", "Si", "alpha_Al2O3")
"""Standards that beamlines have: they are proposed, and tried, before the others."""

_NO_MATERIALS = {"mock"}
"""Names of pyFAI that are no materials."""


@dataclass(frozen=True, slots=True)
class Calibrant:
    """A powder standard.

    Parameters
    ----------
    name
        Name in the provenance.
    spacings
        Lattice spacings d, descending (m).
    """

    name: str
    spacings: tuple[float, ...]

    def lines(self, wavelength: float, largest: float = np.pi / 2) -> Floats:
        """Compute the scattering angles of the lines: Bragg's law, 2 theta = 2 arcsin(wavelength / 2 d).

        Parameters
        ----------
        wavelength
            Wavelength of the beam (m).
        largest
            Upper limit of the angles (rad).

        Returns
        -------
        ndarray, shape (n,)
            2 theta, ascending (rad).
        """
        sines = wavelength / 2 / np.array(self.spacings)
        angles = 2 * np.arcsin(sines[sines < 1])
        return angles[angles < largest]

    def pyfai(self, wavelength: float) -> object:
        """Return pyFAI's calibrant with the same lines at a wavelength (m)."""
        from pyFAI.calibrant import Calibrant as PyFaiCalibrant

        return PyFaiCalibrant(dspacing=[spacing * 1e10 for spacing in self.spacings], wavelength=wavelength)

    def write(self, path: Path) -> None:
        """Write the .D file that pyFAI reads, lattice spacings in angstrom.

        Parameters
        ----------
        path
            The file to write.

        Raises
        ------
        FileWriteError
            It cannot be written.
        """
        lines = "\n".join(f"{spacing * 1e10:.8f}" for spacing in self.spacings)
        write_atomic(path, f"# Calibrant: {self.name}\n{lines}\n".encode("ascii"))


def calibrant(name: str | Path | Calibrant) -> Calibrant:
    """Find a calibrant.

    Parameters
    ----------
    name
        One of pyFAI's names (``Ni``, ``LaB6``, ``CeO2``, ``AgBh``, ``Si``, ...), or a .D file.

    Returns
    -------
    Calibrant
        With at least one lattice spacing.

    Raises
    ------
    CalibrantError
        The name is unknown (the message lists the known ones), or the file lists no lattice spacings.
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
    return Calibrant(str(name), _read(_pyfai_files()[str(name)]))


def required_calibrant(name: str | Path | Calibrant | None) -> Calibrant:
    """Find a calibrant that has to be given.

    Parameters
    ----------
    name
        As for `calibrant`; None if it was not given.

    Returns
    -------
    Calibrant

    Raises
    ------
    CalibrantError
        As for `calibrant`, and if there is none: the wrong standard can fit, so it is never guessed.
    """
    if name is None:
        usual = " ".join(USUAL_STANDARDS)
        raise CalibrantError(
            f'the calibrant is missing: give the powder standard in the beam, such as calibrant="CeO2"; usual ones are '
            f"{usual}, and a .D file is one, too"
        )
    return calibrant(name)


def calibrant_names() -> list[str]:
    """Return the names that `calibrant` knows, sorted."""
    return sorted(_pyfai_files())


def known_standards() -> list[Calibrant]:
    """Return the standards that `calibrant` knows, one for each lattice, by name.

    Of several reference materials with the same lines, such as LaB6 and LaB6_SRM660c, it is the one with the shortest
    name.
    """
    standards: list[Calibrant] = []
    for name in sorted(set(calibrant_names()) - _NO_MATERIALS, key=lambda each: (len(each), each)):
        one = calibrant(name)
        if not any(_is_same_lattice(one, other) for other in standards):
            standards.append(one)
    return sorted(standards, key=lambda each: each.name)


def _is_same_lattice(one: Calibrant, other: Calibrant) -> bool:
    """Check whether the first lines of two standards agree within the differences of reference materials."""
    count = min(len(one.spacings), len(other.spacings), _COMPARED)
    return bool(np.allclose(one.spacings[:count], other.spacings[:count], rtol=_SAME_LATTICE, atol=0))


@functools.cache
def _pyfai_files() -> dict[str, Path]:
    """Find the .D files of pyFAI by name, without loading pyFAI, which takes longer than a fit.

    Raises
    ------
    MissingExtraError
        pyFAI is not installed.
    """
    spec = importlib.util.find_spec("pyFAI")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("pyFAI")
    folder = Path(spec.submodule_search_locations[0]) / "resources" / "calibration"
    return {path.stem: path for path in folder.glob("*.D")}


def _read(path: Path) -> tuple[float, ...]:
    """Read the lattice spacings (m) of a .D file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CalibrantError(f"{path}: {error.strerror}: expected a .D file, lattice spacings in angstrom") from error
    spacings: list[float] = []
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
        spacings.append(value * 1e-10)
    if not spacings:
        raise CalibrantError(f"{path} lists no lattice spacings: expected one per line, in angstrom")
    return _distinct(spacings)


def _face_centred(lattice: float) -> tuple[float, ...]:
    """Compute the spacings of a face-centred cubic lattice: d = a / sqrt(h^2 + k^2 + l^2), all even or all odd."""
    indices = itertools.product(range(13), repeat=3)
    squares = {h * h + k * k + m * m for h, k, m in indices if h % 2 == k % 2 == m % 2} - {0}
    return tuple(lattice / float(np.sqrt(square)) for square in sorted(squares)[:_FCC_LINES])


def _distinct(spacings: Iterable[float]) -> tuple[float, ...]:
    """Sort spacings in descending order, without those that are equal to another one."""
    distinct: list[float] = []
    for spacing in sorted(spacings, reverse=True):
        if not distinct or distinct[-1] - spacing > _SAME * spacing:
            distinct.append(spacing)
    return tuple(distinct)


def nearest_index(ascending: Floats, values: Floats) -> NDArray[np.intp]:
    """Find the nearest of ascending numbers.

    Parameters
    ----------
    ascending
        Shape (n,).
    values
        Any shape.

    Returns
    -------
    ndarray
        Indices into `ascending`, in the shape of `values`.
    """
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def line_spacing(lines: Floats) -> Floats:
    """Compute the distance of each line to its nearest neighbour.

    Parameters
    ----------
    lines
        Scattering angles, ascending (rad), shape (n,).

    Returns
    -------
    ndarray, shape (n,)
        Distances (rad); pi for a single line.
    """
    if len(lines) == 1:
        return np.array([np.pi])
    gaps = np.diff(lines)
    return np.minimum(np.r_[gaps[0], gaps], np.r_[gaps, gaps[-1]])
