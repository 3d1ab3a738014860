"""Parse the options of `ponikeeper fit`: where the fit starts."""

import math
from dataclasses import replace
from pathlib import Path

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import value_problem
from ponikeeper_client.fit._panel import GENERIC
from ponikeeper_client.fit.start import Nominal, Start, read_poni


def parse_start(
    poni_file: Path | None,
    dist: float | None,
    detector: str | None,
    pixel: str | None,
    centre: str | None,
    tilt: str | None,
    orientation: int | None,
) -> Start:
    """Parse the options that describe where a fit starts.

    Parameters
    ----------
    poni_file
        Value of ``--start``.
    dist, detector, pixel, centre, tilt, orientation
        Values of the options of these names (m, -, m, px, deg, -).

    Returns
    -------
    Start
        A PONI file, a geometry, or what is known about the detector; without a distance the fit is blind.

    Raises
    ------
    CalibrationError
        An option is missing, is not a value, or two contradict each other.
    """
    if poni_file is not None:
        given = {"--dist": dist, "--pixel": pixel, "--centre": centre, "--tilt": tilt, "--orientation": orientation}
        if known := [name for name, value in given.items() if value is not None]:
            raise CalibrationError(f"--start is a whole geometry already: omit {' and '.join(known)}")
        return poni_file if detector is None else replace(read_poni(poni_file), detector=detector)
    if detector is None and pixel is None:
        raise CalibrationError(
            "the detector is not known: give --detector Perkin (pyFAI's name) or --pixel 2e-4 (m), with --dist 0.25 "
            "(m) if the distance is roughly known; or --start PONI"
        )
    if dist is None and not (centre is None and tilt is None):
        raise CalibrationError(
            "--centre and --tilt belong to a start at a known distance: give --dist 0.25 (m) too, or omit them, and "
            "every distance, centre and tilt is tried"
        )
    if orientation is not None and orientation not in (1, 2, 3, 4):
        raise CalibrationError(f"--orientation {orientation}: expected 1, 2, 3 or 4; pyFAI's default is 3")
    return Nominal(
        dist,
        detector or GENERIC,
        None if centre is None else _pair("--centre", centre, "y,x in px, such as 1024,1010"),
        None if pixel is None else _pixel(pixel),
        orientation,
        (0.0, 0.0) if tilt is None else _tilt(tilt),
    )


def _pixel(text: str) -> tuple[float, float]:
    """Parse the size of a pixel, or of its two sides (m)."""
    expected = "the side of a pixel in m, such as 2e-4, or both along axes 1 and 2, 1e-4,1.5e-4"
    sides = _numbers("--pixel", text, expected, (1, 2))
    for side in sides:
        if problem := value_problem("pixel1", side):
            raise CalibrationError(f"--pixel {text}: {problem}")
    return sides[0], sides[-1]


def _tilt(text: str) -> tuple[float, float]:
    """Parse two rotations (deg) to rad."""
    expected = "rotations 1 and 2 in deg, such as 0,-20"
    rot1, rot2 = _pair("--tilt", text, expected)
    if max(abs(rot1), abs(rot2)) >= 90:
        raise CalibrationError(f"--tilt {text}: expected {expected}, each between -90 and 90")
    return math.radians(rot1), math.radians(rot2)


def _pair(option: str, text: str, expected: str) -> tuple[float, float]:
    one, other = _numbers(option, text, expected, (2,))
    return one, other


def _numbers(option: str, text: str, expected: str, counts: tuple[int, ...]) -> list[float]:
    """Parse finite numbers with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise CalibrationError(f"{option} {text}: expected {expected}") from None
    if len(numbers) not in counts or not all(math.isfinite(number) for number in numbers):
        raise CalibrationError(f"{option} {text}: expected {expected}")
    return numbers
