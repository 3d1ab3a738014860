"""The commands of `ponikeeper model`."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import ConfigError, MissingExtraError

model = typer.Typer(
    help="Fit a geometry as a function of the position to calibrations, and evaluate it.", no_args_is_help=True
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="a model, as ponikeeper model fit writes it")]


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
        typer.Option(help="relative standard deviation of the scale of a motor: z=1e-4", show_default=False),
    ] = None,
    history: Annotated[Path | None, typer.Option(help="an exported history, instead of asking the IOC")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="the JSON file to write")] = None,
    picture: Annotated[Path | None, typer.Option(help="the PNG file to write")] = None,
) -> None:
    """Fit a model: ponikeeper model fit 'XF:28ID1-ES{Det:PE1}Calib:' --along z --revisions near,mid,far -o travel.json.

    It prints how far each calibration is from the model, and from what the others predict where it was taken, and the
    uncertainty over the range. A rejected model is drawn, but not written; the exit code is 1.
    """
    try:
        from ponikeeper_client.model import command
        from ponikeeper_client.model.motion import Motion
    except ModuleNotFoundError as error:
        raise MissingExtraError("client", error.name or "a library") from error
    arms, axes = arm or [], axis or []
    if len(arms) != len(axes):
        raise ConfigError(f"--arm is given {len(arms)} times and --axis {len(axes)} times: each arm needs its axis")
    words = tuple(filter(None, (part.strip() for part in (order or "").split(","))))
    motion = Motion(tuple(along or ()), tuple(zip(arms, axes, strict=True)), energy, words)
    ranges = command.parse_numbers("--range", range_ or (), 2)
    known = command.Knowledge(
        nominal,
        {link: value for link, (value,) in command.parse_numbers("--sigma", sigma or ()).items()},
        {link: value for link, (value,) in command.parse_numbers("--scale-sigma", scale_sigma or ()).items()},
        {link: (low, high) for link, (low, high) in ranges.items()},
    )
    fitted, notes = command.fit_history(command.read(prefix, history), revisions, motion, known)
    title = f"model of {prefix}"
    command.report(fitted, notes, title)
    if picture is not None:
        command.write_picture(picture, fitted, title)
    if fitted.problems:
        raise typer.Exit(1)
    if output is not None:
        command.write_json(output, fitted.model.as_dict())


@model.command()
def predict(
    file: _File,
    position: Annotated[list[str], typer.Argument(help="the value of each link: z=523")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the PONI file to write; only where the model holds")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the geometry as JSON")] = False,
) -> None:
    """Print the geometry at a position: ponikeeper model predict travel.json z=523 -o here.poni."""
    try:
        from ponikeeper_client.model import command
    except ModuleNotFoundError as error:
        raise MissingExtraError("client", error.name or "a library") from error
    there = {link: value for link, (value,) in command.parse_numbers("position", position).items()}
    loaded = command.load_model(file)
    command.predict(loaded, there, as_json)
    if output is not None:
        command.write_poni(output, loaded, there)


@model.command(name="export")
def export_(
    file: _File,
    pyfai: Annotated[Path, typer.Option(help="the file of pyFAI's goniometer to write, JSON")],
) -> None:
    """Write a model as a goniometer of pyFAI: ponikeeper model export travel.json --pyfai goniometer.json."""
    try:
        from ponikeeper_client.model import command, pyfai_file
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "a library") from error
    command.write_json(pyfai, pyfai_file.export(command.load_model(file)))


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
    try:
        from ponikeeper_client.model import command, pyfai_file
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "a library") from error
    spans = {link: (low, high) for link, (low, high) in command.parse_numbers("--range", range_ or (), 2).items()}
    command.write_json(output, pyfai_file.read(file, spans, units).as_dict())
