"""What `ponikeeper fit` does: an image file in, a PONI out, or why there is none."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.console import Console

from ponikeeper.errors import CalibrationError, ImageError, NotConnectedError
from ponikeeper.geometry import Geometry, poni, value_problem
from ponikeeper.protocol import Commit
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper_client.fit.calibrants import calibrant as find_calibrant
from ponikeeper_client.fit.figure import draw
from ponikeeper_client.fit.fit import fit_image
from ponikeeper_client.fit.image_files import read_image, read_mask
from ponikeeper_client.fit.start import Nominal, Start, beginning, read_poni
from ponikeeper_client.fit.table import fit_table

out = Console()

_PATIENCE = 10.0
"""How long to wait for an IOC (s)."""


def fit(
    image: Path,
    calibrant: str,
    wavelength: float | None,
    begin: Start,
    dark: Path | None,
    mask: Path | None,
    output: Path | None,
    put: str | None,
    label: str | None,
) -> None:
    """Fit, show what was found, and write and put it where it can be stood for.

    Raises
    ------
    CalibrationError, CalibrantError, ImageError
        What was given cannot be used.
    FitError
        No geometry that could be stood for; says why.
    RefusedError, NotConnectedError
        The IOC did not take it.
    """
    if label is not None and put is None:
        raise CalibrationError("--label names a revision: it needs --put PREFIX too")
    raw, hidden = read_image(image), None if mask is None else read_mask(mask)
    problem = None if wavelength is None else value_problem("wavelength", wavelength)
    if problem:
        raise CalibrationError(problem)
    if wavelength is None and isinstance(begin, Nominal):
        raise CalibrationError("--wavelength is missing: expected metres, such as 1.663e-11; it is never guessed")
    begun = beginning(begin, None, wavelength, (raw.shape[0], raw.shape[1]))
    found = fit_image(_without(raw, dark), begun.geometry, find_calibrant(calibrant), mask=hidden, reach=begun.reach)
    out.print(
        fit_table(
            found, None if isinstance(begin, Nominal) else begun.geometry, f"{image.name}, started from {begun.told}"
        )
    )
    geometry = found.require_accepted()
    if output is not None:
        write_atomic(output, poni.write(geometry).encode("ascii"))
        write_atomic(output.with_suffix(".png"), draw(found, raw, hidden, image.name))
    if put is not None:
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        told = "argument" if wavelength is not None else begun.told
        _put(
            put,
            geometry,
            found.provenance() | {"method": "fit", "wavelength_from": told, "image_sha256": digest},
            label,
        )


def start(
    poni_file: Path | None, dist: float | None, detector: str | None, centre: str | None, orientation: int | None
) -> Start:
    """Settle what the options say of where to begin.

    Raises
    ------
    CalibrationError
        They say too little, or too much.
    """
    if poni_file is not None:
        if dist is not None or centre is not None or orientation is not None:
            raise CalibrationError("--start says distance, centre and orientation: leave the others out")
        return poni_file if detector is None else replace(read_poni(poni_file), detector=detector)
    if dist is None or detector is None:
        raise CalibrationError("the fit has to begin somewhere: give --start PONI, or --dist 0.25 --detector Perkin")
    if centre is None:
        return Nominal(dist, detector, orientation=orientation)
    try:
        y, x = (float(part) for part in centre.split(","))
    except ValueError:
        raise CalibrationError(f"--centre {centre}: expected y,x in px, such as 1024,1010") from None
    return Nominal(dist, detector, (y, x), orientation=orientation)


def _without(raw: NDArray[Any], dark: Path | None) -> NDArray[Any]:
    """Subtract a dark, in double precision: counts are unsigned."""
    if dark is None:
        return raw
    background = read_image(dark)
    if background.shape != raw.shape:
        raise ImageError(f"{dark} has shape {background.shape} and the image {raw.shape}: expected the same")
    return raw.astype(float) - background


def _put(prefix: str, geometry: Geometry, provenance: dict[str, object], label: str | None) -> None:
    """Commit it, and wait for the verdict."""
    from ponikeeper_client.device import CalibrationData

    calib = CalibrationData(prefix, name="calib")
    try:
        calib.wait_for_connection(timeout=_PATIENCE)
        result = calib.transact(Commit(geometry.as_dict(), provenance, label, "unknown"))
    except TimeoutError as error:
        raise NotConnectedError(
            f"{prefix}Snapshot_RBV does not answer within {_PATIENCE:g} s: is the prefix right, is the IOC running? "
            "The geometry is not lost where it was written with -o"
        ) from error
    finally:
        calib.destroy()
    out.print(f"{prefix} revision {result.revision} is in force (serial {result.serial})", highlight=False)
