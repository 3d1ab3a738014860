"""`ponikeeper fit`, as the command line has it; what it does is in `ponikeeper_client.fit.run`.

Apart, so that the help is there without the libraries of a fit.
"""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import MissingExtraError


def fit(
    image: Annotated[Path, typer.Argument(help="the image of a powder standard (TIFF, EDF, CBF, NPY, ...)")],
    calibrant: Annotated[str, typer.Option(help="the powder standard: pyFAI's name, or a .D file")] = "Ni",
    wavelength: Annotated[float | None, typer.Option(help="in m; left out, that of --start")] = None,
    detector: Annotated[str | None, typer.Option(help="pyFAI's name; left out, that of --start")] = None,
    start: Annotated[Path | None, typer.Option(help="a PONI that is roughly right")] = None,
    dist: Annotated[float | None, typer.Option(help="without --start: the distance in m, to about 25 %")] = None,
    centre: Annotated[str | None, typer.Option(help="with --dist: centre of the rings y,x (px)")] = None,
    orientation: Annotated[int | None, typer.Option(help="with --dist: of the image, 1 to 4")] = None,
    dark: Annotated[Path | None, typer.Option(help="an image to subtract")] = None,
    mask: Annotated[Path | None, typer.Option(help="an image or array, nonzero is masked")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="the PONI to write, a PNG beside it")] = None,
    put: Annotated[str | None, typer.Option(help="PV prefix of the detector to put it in force for")] = None,
    label: Annotated[str | None, typer.Option(help="with --put: name of the revision, such as near")] = None,
) -> None:
    """Fit a geometry: ponikeeper fit Ni.tiff --calibrant Ni --wavelength 1.663e-11 --start near.poni -o new.poni."""
    try:
        from ponikeeper_client.fit import run
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "a library") from error
    begin = run.start(start, dist, detector, centre, orientation)
    run.fit(image, calibrant, wavelength, begin, dark, mask, output, put, label)
