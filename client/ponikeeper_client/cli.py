"""The commands that need the client."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import MissingExtraError
from ponikeeper.geometry.wavelengths import given_wavelength
from ponikeeper.history.typed_numbers import revision_number
from ponikeeper.system.terminal import print_text
from ponikeeper.text import typed_times
from ponikeeper_client import _model_commands as model_commands

_LIBRARIES_OF_DEMO = ("caproto", "ophyd", "pyFAI", "tiled", "fastapi", "bluesky_tiled_plugins", "matplotlib", "jinja2")
"""One of each extra: the demonstration must not end in the middle."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this package to the command line."""
    app.command()(demo)
    app.command()(fit)
    app.command()(affected)
    app.command()(mirror)
    app.command()(plot)
    app.command()(report)
    app.add_typer(model_commands.model, name="model")


def check_mask(path: str | Path, geometry: Mapping[str, object]) -> None:
    """Check the mask that a command commits; without the libraries that read images it is not checked."""
    try:
        from ponikeeper_client.documents import check_mask as check
    except ModuleNotFoundError:
        return
    check(path, geometry)


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="leave the IOC serving at the end, until Ctrl-C")] = False,
) -> None:
    """Demonstrate everything without hardware: ponikeeper demo."""
    for library in _LIBRARIES_OF_DEMO:
        if find_spec(library) is None:
            raise MissingExtraError(library, "all")
    from ponikeeper_client.demo import story

    story.run(stay)


def fit(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            help="images of a powder standard, which are averaged (TIFF, EDF, CBF, NPY, NeXus, an Eiger master, "
            "file.h5::/path, ...)",
            show_default=False,
        ),
    ] = None,
    calibrant: Annotated[
        str | None,
        typer.Option(
            help="the powder standard: pyFAI's name, or a .D file; auto tries all of pyFAI's", show_default=False
        ),
    ] = None,
    energy: Annotated[float | None, typer.Option(help="of the beam, in keV")] = None,
    wavelength: Annotated[
        float | None, typer.Option(help="instead of --energy: in m; if both are omitted, that of --start")
    ] = None,
    wavelength_sigma: Annotated[
        float | None,
        typer.Option(
            help="standard deviation of the wavelength, relative to it; with --put that of the IOC, else 0.005",
            show_default=False,
        ),
    ] = None,
    detector: Annotated[str | None, typer.Option(help="pyFAI's name; if omitted, that of --start")] = None,
    pixel: Annotated[
        str | None, typer.Option(help="side of a pixel in m, or two: 1e-4,2e-4; if omitted, that of --detector")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="a PONI file that is roughly right")] = None,
    dist: Annotated[
        float | None,
        typer.Option(help="without --start: the distance in m, to about 25 %; if omitted, every distance is tried"),
    ] = None,
    centre: Annotated[str | None, typer.Option(help="with --dist: centre of the rings y,x (px)")] = None,
    tilt: Annotated[
        str | None, typer.Option(help="with --dist: rotations 1 and 2 (deg), to about 20 deg: 0,-30")
    ] = None,
    orientation: Annotated[int | None, typer.Option(help="without --start: of the image, 1 to 4; 3")] = None,
    dark: Annotated[
        list[str] | None, typer.Option(help="an image to subtract; repeat it to average several", show_default=False)
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="an image or array, nonzero is masked")] = None,
    part: Annotated[
        bool, typer.Option("--part", help="accept a geometry that is certain only in a part of the detector")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the PONI file to write, and next to it a picture (PNG)")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="before the exposure: list the rings that will be on the panel, and the best standards"
        ),
    ] = False,
    put: Annotated[str | None, typer.Option(help="PV prefix of the detector: commit the geometry there")] = None,
    label: Annotated[str | None, typer.Option(help="with --put: label of the revision, such as near")] = None,
    here: Annotated[
        bool, typer.Option("--here", help="with --put: the image was taken at the present position of the links")
    ] = False,
    no_position: Annotated[
        bool, typer.Option("--no-position", help="with --put: it was taken elsewhere; no position is recorded")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="with --put: wait until the geometry applies; exit code 1 if it does not")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="with --wait: seconds to wait; 60", show_default=False)] = None,
) -> None:
    """Fit a geometry: ponikeeper fit CeO2.tiff --calibrant CeO2 --energy 61.3 --detector Pilatus2MCdTe -o new.poni.

    Without --start and --dist every distance, centre and tilt is tried. A rejected fit writes its picture only, to
    new.rejected.png. At a terminal it asks before it replaces a file.

    With --plan it needs no image, and exits with 1 if fewer than three rings will be on the panel.

    With --put the errors that the fit assumes are those that are configured in the IOC. It prints which revision is
    active, whether it applies, and what to type if not. Without --here and --no-position it asks for the position as
    ponikeeper put does.
    """
    from ponikeeper_client.fit import command, options, plan_command
    from ponikeeper_client.fit._inputs import InputFiles
    from ponikeeper_client.fit._output import OutputFile
    from ponikeeper_client.fit.commit import parse_commit_options

    begin = options.parse_start(start, dist, detector, pixel, centre, tilt, orientation)
    committing = parse_commit_options(put, label, here, no_position, wait, timeout)
    beam = given_wavelength(wavelength, energy)
    if plan:
        plan_command.plan(images or (), calibrant, beam, begin)
        return
    inputs = InputFiles(images or (), dark or (), mask)
    files = None if output is None else OutputFile(output)
    if not command.fit(inputs, calibrant, beam, begin, wavelength_sigma, part, files, committing):
        raise typer.Exit(1)


def affected(
    prefix: Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")],
    revision: Annotated[str, typer.Argument(help="number of the revision")],
    catalog: Annotated[
        str, typer.Argument(help="a Tiled address (its key in TILED_API_KEY), a Tiled profile, or a databroker catalog")
    ],
    history: Annotated[
        list[str] | None,
        typer.Option(help="an exported history or the Tiled address of a mirror to look in, instead of asking the IOC"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help=f"only runs that began then or later: {typed_times.EXPECTED}")
    ] = None,
    until: Annotated[str | None, typer.Option(help="only runs that began before then, or on that day")] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="UID", help="continue an interrupted search after this run", show_default=False),
    ] = None,
    every_run: Annotated[
        bool,
        typer.Option(
            "--every-run",
            help="read every run, instead of asking the catalog for the uid of the revision; this also finds runs with "
            "another geometry of that number",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the runs recorded with a revision: ponikeeper affected 'XF:28ID1-ES{Det:PE1}Calib:' 12 http://localhost:8000.

    At a terminal it prints a table, elsewhere the uid of each run in a line.
    """
    from ponikeeper_client.recall._affected_report import Bounds, print_affected

    print_affected(
        prefix, revision_number(revision), catalog, history or (), as_json, Bounds(since, until, after, every_run)
    )


def mirror(
    configurations: Annotated[list[Path], typer.Argument(help="configuration of each IOC")],
    catalog: Annotated[str, typer.Argument(help="a Tiled address (its key in TILED_API_KEY), or a Tiled profile")],
    every: Annotated[
        float | None, typer.Option(min=1.0, help="copy again after this time, in s, until Ctrl-C", show_default=False)
    ] = None,
) -> None:
    """Copy the histories of all detectors of some IOCs into Tiled: ponikeeper mirror 28id1.toml http://tiled:8000.

    Only new records are added, and nothing is ever changed. Each history is verified by its checksums afterwards. If a
    history could not be copied, the others are, and the exit code is 1.
    """
    from ponikeeper_client.recall import _mirror_command

    if not _mirror_command.mirror(configurations, catalog, every):
        raise typer.Exit(1)


def plot(
    prefix: Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the PNG file to write; if omitted, named after the prefix")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="draw only revisions with this label; repeat it")] = None,
    history: Annotated[
        str | None,
        typer.Option(help="an exported history or the Tiled address of a mirror to draw, instead of asking the IOC"),
    ] = None,
) -> None:
    """Draw the drift of distance, beam centre and tilt: ponikeeper plot 'XF:28ID1-ES{Det:PE1}Calib:' -o drift.png.

    Each label has a colour, and is drawn as the difference from its first revision that is not corrected.
    """
    from ponikeeper_client.recall import _drift

    print_text(_drift.plot(prefix, output, label or (), history))


def report(
    what: Annotated[str, typer.Argument(metavar="PREFIX|UID", help="PV prefix of a detector, or the uid of a run")],
    catalog: Annotated[
        str | None, typer.Argument(help="of a run: a Tiled address, a Tiled profile, or a databroker catalog")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="the HTML file to write; if omitted, named after PREFIX or UID"),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="an exported history or the Tiled address of a mirror to look in, instead of asking the IOC"),
    ] = None,
) -> None:
    """Write a page for the logbook: ponikeeper report 'XF:28ID1-ES{Det:PE1}Calib:', or of a run: report UID CATALOG.

    The page is one HTML file: geometry, uncertainty, provenance, corrections, and drift; of a run the status of every
    event.
    """
    from ponikeeper_client.report._command import write_report

    print_text(write_report(what, catalog, output, history or ()))
