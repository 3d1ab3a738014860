"""Implementation of `ponikeeper fit`: image files in, a PONI file and a picture out, or the reasons against them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ponikeeper.errors import CalibrationError, FitError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import DEFAULT_ERRORS, Commit
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.origin import certainty_lines
from ponikeeper.system import terminal
from ponikeeper.system.file_hash import file_entry
from ponikeeper.system.terminal import make_console
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client._image_files.averaging import Image
from ponikeeper_client.fit._acceptance import Criteria
from ponikeeper_client.fit._inputs import InputFiles
from ponikeeper_client.fit._output import OutputFile
from ponikeeper_client.fit.calibrants import Calibrant, known_standards
from ponikeeper_client.fit.calibrants import calibrant as find_calibrant
from ponikeeper_client.fit.commit import CommitOptions, connected
from ponikeeper_client.fit.fit import Fit, fit_image
from ponikeeper_client.fit.identify import AUTO, fit_any, named_lookalike
from ponikeeper_client.fit.start import Nominal, ResolvedStart, Start, resolve_start
from ponikeeper_client.fit.table import fit_table

ReportProgress = Callable[[float, str], None]

_console = make_console()


def fit(
    inputs: InputFiles,
    calibrant: str | None,
    wavelength: float | None,
    start: Start,
    wavelength_sigma: float | None,
    part: bool,
    output: OutputFile | None,
    committing: CommitOptions | None,
) -> bool:
    """Fit a geometry, print the result, and write and commit it if the fit is accepted.

    Parameters
    ----------
    inputs
        The image files; the mask is committed with the geometry, as path and SHA-256.
    calibrant
        pyFAI's name of the standard, a .D file, or ``"auto"``, which tries all of pyFAI's.
    wavelength
        Wavelength of the beam (m); None is that of the start.
    start
        Where the search begins.
    wavelength_sigma
        Relative standard deviation of the wavelength; None for that of the IOC, or the usual one if nothing is
        committed.
    part
        Whether a geometry is accepted that is certain only in a part of the detector.
    output
        The files to write; None writes none.
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
    criteria, standard = (
        Criteria.of(DEFAULT_ERRORS, wavelength_sigma, part),
        _standard(inputs, calibrant, wavelength, start),
    )
    if output is not None:
        output.check(terminal.ask if terminal.is_interactive() else None)
    if committing is None:
        _fitted(inputs, standard, wavelength, start, criteria, output)
        return True
    with connected(committing) as ioc:
        if ioc.failure is not None and output is None:
            raise ioc.failure
        criteria = Criteria.of(ioc.assumed, wavelength_sigma, part)
        geometry, provenance = _fitted(inputs, standard, wavelength, start, criteria, output)
        request = Commit(geometry.as_dict(), provenance, committing.label, "unknown")
        return ioc.commit(with_files(request, file_entry, inputs.mask))


def _fitted(
    inputs: InputFiles, standard: Calibrant | None, wavelength: float | None, start: Start, criteria: Criteria,
    output: OutputFile | None,
) -> tuple[Geometry, dict[str, object]]:  # fmt: skip
    """Fit a geometry, print and write the result; return it with its provenance, or raise `FitError`."""
    with _progress_bar() as report:
        report(0.0, "read the images")
        image, mask = inputs.read()
        begin = resolve_start(start, None, wavelength, (image.shape[0], image.shape[1]))
        result = _fit(image, mask, begin, standard, criteria, inputs, output, report)
    previous = None if isinstance(start, Nominal) else begin.geometry
    _console.print(fit_table(result, previous, f"{inputs.name}, started from {begin.source}"))
    for warning in result.warnings:
        _console.print(Text(warning, style="yellow"), soft_wrap=True)
    if output is not None and result.accepted:
        _print(output.write_poni(result.geometry, [*inputs.lines(), *_quality_lines(result)]))
    if output is not None:
        _draw(output, result, image, mask, inputs.name)
    return result.require_accepted(), {
        **result.provenance(),
        "method": "fit",
        "wavelength_from": "argument" if wavelength is not None else begin.source,
        **inputs.provenance(),
        **({"comment": to_ascii("; ".join(result.warnings))} if result.warnings else {}),
    }


def _standard(inputs: InputFiles, calibrant: str | None, wavelength: float | None, start: Start) -> Calibrant | None:
    """Return the standard, None for all of them; raise `CalibrationError` if an argument is missing."""
    if not inputs.images:
        raise CalibrationError("the image is missing: ponikeeper fit IMAGE --calibrant CeO2 ...; several are averaged")
    if calibrant is None:
        raise CalibrationError(
            "--calibrant is missing: expected the powder standard in the beam, pyFAI's name such as CeO2, or a .D "
            "file; or auto, to try all of pyFAI's"
        )
    if wavelength is None and isinstance(start, Nominal):
        raise CalibrationError(
            "--energy is missing: expected keV, such as 74.55 (or --wavelength in m, such as 1.663e-11); it is never "
            "guessed"
        )
    return None if calibrant == AUTO else find_calibrant(calibrant)


def _fit(
    image: Image, mask: NDArray[np.bool_] | None, begin: ResolvedStart, standard: Calibrant | None, criteria: Criteria,
    inputs: InputFiles, output: OutputFile | None, report: ReportProgress,
) -> Fit:  # fmt: skip
    """Fit the image; if nothing can be fitted, write the picture of the image and raise `FitError`."""

    def progress(done: float, step: str) -> None:
        report(0.1 + 0.85 * done, step)

    try:
        if standard is None:
            return fit_any(
                image, begin.geometry, known_standards(), mask=mask, tolerance=begin.tolerance, criteria=criteria,
                progress=progress,
            )  # fmt: skip
        result = fit_image(
            image, begin.geometry, standard, mask=mask, tolerance=begin.tolerance, criteria=criteria, progress=progress
        )
    except FitError as error:
        if output is not None:
            from ponikeeper_client.fit.figure import draw_image

            _print(output.write_picture(draw_image(image, inputs.name, error.problems[0]), accepted=False))
        raise
    report(0.95, "check the result")
    return result if result.accepted else named_lookalike(image, result, mask=mask, tolerance=begin.tolerance)


def _draw(output: OutputFile, result: Fit, image: Image, mask: NDArray[np.bool_] | None, title: str) -> None:
    from ponikeeper_client.fit.figure import draw  # matplotlib takes longer than a fit: the PONI file is there first

    _print(output.write_picture(draw(result, image, mask, title), result.accepted))


def _quality_lines(result: Fit) -> list[str]:
    """Format what a PONI file says of the quality of its fit."""
    number = f"{len(result.refined.points)} points on {len(result.rings)} rings"
    lines = [f"fitted to {result.calibrant.name}: residual {result.refined.residual_px:.3f} px rms, {number}"]
    return [to_ascii(line) for line in (*lines, *certainty_lines(result.provenance()), *result.warnings)]


def _print(line: str) -> None:
    _console.print(Text(line), soft_wrap=True)


@contextmanager
def _progress_bar() -> Iterator[ReportProgress]:
    """Return a context that shows a progress bar on stderr, if that is a terminal."""
    console = make_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda done, step: progress.update(task, completed=done, description=step, refresh=True)
