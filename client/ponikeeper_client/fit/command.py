"""Implementation of `ponikeeper fit`: an image file in, a PONI file out, or the reasons against it."""

import hashlib
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import poni, value_problem
from ponikeeper.protocol import Commit
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.system.file_hash import file_entry
from ponikeeper_client._image_files.averaging import subtract_dark
from ponikeeper_client._image_files.reading import read_image, read_mask
from ponikeeper_client.fit.calibrants import calibrant as find_calibrant
from ponikeeper_client.fit.commit import CommitOptions, commit
from ponikeeper_client.fit.figure import draw
from ponikeeper_client.fit.fit import fit_image
from ponikeeper_client.fit.start import Nominal, Start, read_poni, resolve_start
from ponikeeper_client.fit.table import fit_table

_console = Console()


def fit(
    image: Path,
    calibrant: str,
    wavelength: float | None,
    start: Start,
    dark: Path | None,
    mask: Path | None,
    output: Path | None,
    committing: CommitOptions | None,
) -> bool:
    """Fit a geometry, print the result, and write and commit it if the fit is accepted.

    Parameters
    ----------
    image, dark, mask
        Image files; the mask is committed with the geometry, as path and SHA-256.
    calibrant
        pyFAI's name of the standard, or a .D file.
    wavelength
        Wavelength of the beam (m); None is that of the start.
    start
        Where the search begins.
    output
        The PONI file to write, with a PNG next to it.
    committing
        Where and how to commit the geometry; None does not.

    Returns
    -------
    bool
        False if the committed geometry does not apply in the time that was asked for.

    Raises
    ------
    CalibrationError, CalibrantError, ImageError
        An argument or a file cannot be used.
    FitError
        The fit was rejected; the message says why.
    FileWriteError
        A file cannot be written.
    RefusedError, NotConnectedError
        The IOC did not accept the geometry, or does not answer.
    """
    raw, hidden = read_image(image), None if mask is None else read_mask(mask)
    problem = None if wavelength is None else value_problem("wavelength", wavelength)
    if problem:
        raise CalibrationError(problem)
    if wavelength is None and isinstance(start, Nominal):
        raise CalibrationError("--wavelength is missing: expected metres, such as 1.663e-11; it is never guessed")
    begin = resolve_start(start, None, wavelength, (raw.shape[0], raw.shape[1]))
    background = None if dark is None else read_image(dark)
    result = fit_image(
        subtract_dark(raw, background),
        begin.geometry,
        find_calibrant(calibrant),
        mask=hidden,
        tolerance=begin.tolerance,
    )
    previous = None if isinstance(start, Nominal) else begin.geometry
    _console.print(fit_table(result, previous, f"{image.name}, started from {begin.source}"))
    geometry = result.require_accepted()
    if output is not None:
        write_atomic(output, poni.write(geometry).encode("ascii"))
        write_atomic(output.with_suffix(".png"), draw(result, raw, hidden, image.name))
    if committing is None:
        return True
    provenance = {
        **result.provenance(),
        "method": "fit",
        "wavelength_from": "argument" if wavelength is not None else begin.source,
        "image_sha256": hashlib.sha256(image.read_bytes()).hexdigest(),
    }
    request = Commit(geometry.as_dict(), provenance, committing.label, "unknown")
    return commit(committing, with_files(request, file_entry, mask))


def parse_start(
    poni_file: Path | None, dist: float | None, detector: str | None, centre: str | None, orientation: int | None
) -> Start:
    """Parse the options that describe where a fit starts.

    Parameters
    ----------
    poni_file
        Value of ``--start``.
    dist, detector, centre, orientation
        Values of the options of these names (m, -, px, -).

    Returns
    -------
    Start
        A PONI file, a geometry or a nominal distance.

    Raises
    ------
    CalibrationError
        An option is missing, or two contradict each other.
    """
    if poni_file is not None:
        if dist is not None or centre is not None or orientation is not None:
            raise CalibrationError(
                "--start already gives distance, centre and orientation: omit --dist, --centre and --orientation"
            )
        return poni_file if detector is None else replace(read_poni(poni_file), detector=detector)
    if dist is None or detector is None:
        raise CalibrationError("the fit needs a start: give --start PONI, or --dist 0.25 --detector Perkin")
    if centre is None:
        return Nominal(dist, detector, orientation=orientation)
    try:
        y, x = (float(part) for part in centre.split(","))
    except ValueError:
        raise CalibrationError(f"--centre {centre}: expected y,x in px, such as 1024,1010") from None
    return Nominal(dist, detector, (y, x), orientation=orientation)
