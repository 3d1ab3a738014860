"""Implementation of `ponikeeper fit --plan`: the rings that a standard will have on the panel, before the exposure."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ponikeeper.errors import CalibrationError, FitError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.system.terminal import make_console
from ponikeeper_client._image_files.reading import read_frames
from ponikeeper_client.fit.calibrants import calibrant as find_calibrant
from ponikeeper_client.fit.calibrants import known_standards
from ponikeeper_client.fit.ring_plan import LEAST_RINGS, RingPlan, count_text, plan_rings, rank_standards, ring_problem
from ponikeeper_client.fit.start import Nominal, Start, planned_start

_console = make_console()

_MAX_STANDARDS = 8
_MAX_LISTED_RINGS = 25


def plan(images: Sequence[str], calibrant: str | None, wavelength: float | None, start: Start) -> None:
    """Print the rings that a standard will have on the panel, and the standards that determine it best.

    Parameters
    ----------
    images
        An image of the detector, for its shape; empty if pyFAI knows the shape.
    calibrant
        pyFAI's name of the standard, or a .D file; None lists the best standards only.
    wavelength
        Wavelength of the beam (m); None is that of the start.
    start
        Where the panel stands.

    Raises
    ------
    CalibrationError, CalibrantError, ImageError
        An argument cannot be used.
    FitError
        The panel will not have enough rings of the standard; the message names one that has.
    """
    geometry, shape = _panel(images, wavelength, start)
    standard = None if calibrant is None else find_calibrant(calibrant)
    if standard is not None:
        _console.print(_ring_table(plan_rings(geometry, shape, standard), geometry))
    _console.print(_standard_table(rank_standards(geometry, shape, known_standards())))
    if standard is not None and (problem := ring_problem(geometry, shape, standard)):
        raise FitError(problem)


def _panel(images: Sequence[str], wavelength: float | None, start: Start) -> tuple[Geometry, tuple[int, int]]:
    """Return where the panel stands, and the shape of its images."""
    if isinstance(start, Nominal) and start.dist is None:
        raise CalibrationError("--plan needs the distance: give --dist 0.25 (m), or --start PONI")
    if isinstance(start, Nominal) and wavelength is None:
        raise CalibrationError("--energy is missing: expected keV, such as 74.55, or --wavelength in m")
    shape = None
    if images:
        height, width = next(iter(read_frames(images[0]))).shape
        shape = height, width
    planned = planned_start(start, None, wavelength, shape)
    if planned is None:
        raise CalibrationError(
            "the size of the detector is not known: give one of its images too, ponikeeper fit IMAGE --plan ..."
        )
    return planned


def _ring_table(chosen: RingPlan, geometry: Geometry) -> Table:
    """Build the table of the rings on the panel."""
    title = f"{chosen.standard.name} at {DISPLAY_UNITS['dist'].text(geometry.dist)}: {count_text(chosen.usable)} of use"
    table = Table(title=Text(title), title_justify="left")
    for head in ("ring", "d (angstrom)", "2 theta (deg)", "radius (px)", "on the panel (deg)", "next (px)", "use"):
        table.add_column(head, justify="right")
    angle = DISPLAY_UNITS["rot1"]
    for number, ring in enumerate(chosen.rings[:_MAX_LISTED_RINGS], 1):
        table.add_row(
            str(number), f"{ring.spacing * 1e10:.4f}", angle.fixed(ring.angle), f"{ring.radius:.0f}",
            f"{ring.arc:.0f}", f"{ring.separation:.0f}", "yes" if ring.usable else "no",
        )  # fmt: skip
    if (more := len(chosen.rings) - _MAX_LISTED_RINGS) > 0:
        table.caption = f"and {more} more"
    return table


def _standard_table(ranked: Sequence[RingPlan]) -> Table:
    """Build the table of the best standards."""
    table = Table(title=Text("best standards here"), title_justify="left")
    for head in ("", "rings of use", "expected uncertainty (px)"):
        table.add_column(head, justify="right" if head else "left")
    for each in ranked[:_MAX_STANDARDS]:
        table.add_row(each.standard.name, str(each.usable), f"{each.uncertainty:.2g}")
    if not ranked:
        table.add_row(f"none has {LEAST_RINGS} rings on the panel")
    return table
