"""The commands of `ponikeeper model`."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import ConfigError

model = typer.Typer(
    help="Fit a geometry as a function of the position to calibrations, and evaluate it.", no_args_is_help=True
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="a model, as ponikeeper model fit writes it")]

_Model = Annotated[
    str,
    typer.Argument(
        metavar="PREFIX|FILE", help="PV prefix of a detector, for its active model; or a file that model fit wrote"
    ),
]

_Number = Annotated[int | None, typer.Option("--revision", metavar="N", help="this revision, not the active model")]

_AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@model.callback()
def _models() -> None:
    """Group the commands under one command."""


@model.command()
def fit(
    prefix: Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")],
    revisions: Annotated[
        str,
        typer.Option(
            help="the calibrations: labels and numbers with commas between, or all: the newest of each position that "
            "is right"
        ),
    ],
    along: Annotated[
        list[str] | None, typer.Option(help="link of a stage or rail; repeat it for several", show_default=False)
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="link of an arm or rotary stage; repeat it, each with an --axis", show_default=False),
    ] = None,
    axis: Annotated[
        list[int] | None,
        typer.Option(
            help="lab axis about which the arm turns: 1 (up), 2 (horizontal) or 3 (beam); negative for left-handed",
            show_default=False,
        ),
    ] = None,
    energy: Annotated[str | None, typer.Option(help="link of the photon energy, or of the wavelength")] = None,
    order: Annotated[
        str | None,
        typer.Option(help="all links from the floor to the detector, such as z,tth; if omitted, arms before stages"),
    ] = None,
    nominal: Annotated[
        bool,
        typer.Option(
            "--nominal", help="the axes of arms are as designed, within 5 mrad and 0.5 mm; one calibration is enough"
        ),
    ] = False,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", help="declare the range of a link instead of the calibrated one: tth=0,40"),
    ] = None,
    sigma: Annotated[
        list[str] | None,
        typer.Option(help="standard deviation of the position of a link, in its units: z=0.005", show_default=False),
    ] = None,
    scale_sigma: Annotated[
        list[str] | None,
        typer.Option(
            help="relative standard deviation of the scale of a motor: z=1e-4; if omitted, as the IOC is configured",
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="an exported history or the Tiled address of a mirror, instead of asking the IOC"),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="the JSON file to write")] = None,
    picture: Annotated[Path | None, typer.Option(help="the PNG file to write")] = None,
    put: Annotated[bool, typer.Option("--put", help="commit and activate the model, if nothing is against it")] = False,
    label: Annotated[str | None, typer.Option(help="with --put: label of the revision, such as travel")] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="with --put: do not ask")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="with --put: wait until the geometry applies; exit code 1 if it does not")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="with --wait: seconds to wait; 60", show_default=False)] = None,
) -> None:
    """Fit a model: ponikeeper model fit 'XF:28ID1-ES{Det:PE1}Calib:' --along z --revisions near,mid,far -o travel.json.

    It prints how far each calibration is from the model, and from what the others predict where it was taken, and the
    uncertainty over the range. A rejected model is drawn, but neither written nor committed; the exit code is 1.

    With --put it prints which revision is active then, and whether it applies. The calibrations must agree where the
    links were that are no joints. At a terminal it asks before.
    """
    from ponikeeper_client.fit.commit import wait_seconds
    from ponikeeper_client.model import command
    from ponikeeper_client.model.history_fit import Knowledge
    from ponikeeper_client.model.motion import Motion
    from ponikeeper_client.model.options import parse_numbers, parse_ranges

    arms, axes = arm or [], axis or []
    if len(arms) != len(axes):
        raise ConfigError(f"--arm is given {len(arms)} times and --axis {len(axes)} times: each arm needs its axis")
    words = tuple(filter(None, (part.strip() for part in (order or "").split(","))))
    motion = Motion(tuple(along or ()), tuple(zip(arms, axes, strict=True)), energy, words)
    known = Knowledge(
        nominal,
        {link: value for link, (value,) in parse_numbers("--sigma", sigma or ()).items()},
        {link: value for link, (value,) in parse_numbers("--scale-sigma", scale_sigma or ()).items()},
        parse_ranges(range_ or ()),
    )
    known.require_for(motion)
    given = {"--label": label, "--yes": yes, "--wait": wait, "--timeout": timeout}
    if not put and (alone := [option for option, value in given.items() if value not in (None, False)]):
        raise ConfigError(f"{alone[0]} is about the commit of the model: it needs --put too")
    committing = command.Committing(label, wait_seconds(wait, timeout), ask=not yes) if put else None
    files = command.Files(history, output, picture)
    if not command.fit(prefix, revisions, motion, known, files, committing):
        raise typer.Exit(1)


@model.command()
def put(
    prefix: Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")],
    file: _File,
    label: Annotated[str | None, typer.Option(help="label of the revision, such as travel")] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="wait until the geometry applies; exit code 1 if it does not")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="with --wait: seconds to wait; 60", show_default=False)] = None,
) -> None:
    """Commit a model from a file: ponikeeper model put 'XF:28ID1-ES{Det:PE1}Calib:' arm.json --label arm.

    The links that are no joints of it are recorded where they are now. At a terminal it asks before.
    """
    from ponikeeper_client.fit.commit import wait_seconds
    from ponikeeper_client.model import put as putting
    from ponikeeper_client.model.command import Committing

    if not putting.put(prefix, file, Committing(label, wait_seconds(wait, timeout), ask=not yes)):
        raise typer.Exit(1)


@model.command()
def show(prefix: _Model, revision: _Number = None, as_json: _AsJson = False) -> None:
    """Show a model: ponikeeper model show 'XF:28ID1-ES{Det:PE1}Calib:'.

    Members and residuals, the uncertainty over the range, members that were corrected since, what it gives where the
    links are, and whether the active geometry was computed or calibrated.
    """
    from ponikeeper_client.model import show as shown
    from ponikeeper_client.model.source import read_source

    shown.show(read_source(prefix, revision), as_json)


@model.command(name="range")
def range_command(prefix: _Model, revision: _Number = None, as_json: _AsJson = False) -> None:
    """Print where a model holds: ponikeeper model range 'XF:28ID1-ES{Det:PE1}Calib:'."""
    from ponikeeper_client.model import show as shown
    from ponikeeper_client.model.source import read_source

    shown.print_range(read_source(prefix, revision), as_json)


@model.command()
def predict(
    prefix: _Model,
    position: Annotated[list[str], typer.Argument(help="the value of each link: z=523")],
    revision: _Number = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the PONI file to write; only where the model holds")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Print the geometry at a position: ponikeeper model predict travel.json z=523 -o here.poni."""
    from ponikeeper_client.model import show as shown
    from ponikeeper_client.model.options import parse_numbers
    from ponikeeper_client.model.source import read_source

    there = {link: value for link, (value,) in parse_numbers("position", position).items()}
    source = read_source(prefix, revision)
    shown.predict(source, there, as_json)
    if output is not None:
        shown.write_poni(output, source, there)


@model.command(name="export")
def export_(
    file: _File,
    pyfai: Annotated[Path, typer.Option(help="the file of pyFAI's goniometer to write, JSON")],
) -> None:
    """Write a model as a goniometer of pyFAI: ponikeeper model export travel.json --pyfai goniometer.json."""
    from ponikeeper_client.model import model_file, pyfai_file

    model_file.write_json(pyfai, pyfai_file.export(model_file.load_model(file)))


@model.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a goniometer calibration of pyFAI, JSON, version 2")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the model to write, JSON")],
    range_: Annotated[
        list[str] | None, typer.Option("--range", help="the range of the position: tth=0,40", show_default=False)
    ] = None,
    units: Annotated[str | None, typer.Option(help="the units of the position: deg, mm", show_default=False)] = None,
) -> None:
    """Read a goniometer of pyFAI: ponikeeper model import gonio.json --range tth=0,40 --units deg -o arm.json.

    A file that ponikeeper wrote comes back unchanged. Other formulas are imported if they are a straight stage or a
    rotation about a fixed axis, within 1e-12 m and rad, with an assumed uncertainty; all others are refused.
    """
    from ponikeeper_client.model import model_file, pyfai_file
    from ponikeeper_client.model.options import parse_ranges

    model_file.write_json(output, pyfai_file.read(file, parse_ranges(range_ or ()), units).as_dict())
