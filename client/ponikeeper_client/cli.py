"""The commands that need the client's side of ponikeeper."""

from pathlib import Path
from typing import Annotated

import typer

from ponikeeper.errors import MissingExtraError
from ponikeeper_client.fit.command import fit


def add_commands(app: typer.Typer) -> None:
    """Join the commands of this package to the command line."""
    app.command()(demo)
    app.command()(fit)
    app.command()(affected)


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="leave the IOC serving at the end, until Ctrl-C")] = False,
) -> None:
    """Show the whole path without hardware: ponikeeper demo."""
    try:
        from ponikeeper_client.demo import story

        story.run(stay)
    except ModuleNotFoundError as error:
        raise MissingExtraError("all", error.name or "a library") from error


def affected(
    prefix: Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")],
    revision: Annotated[int, typer.Argument(help="number of the revision")],
    catalog: Annotated[
        str, typer.Argument(help="a Tiled address (its key in TILED_API_KEY), a Tiled profile, or a databroker catalog")
    ],
    history: Annotated[
        list[Path] | None, typer.Option(help="an exported history to look in, instead of asking the IOC")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the runs taken with a revision: ponikeeper affected 'XF:28ID1-ES{Det:PE1}Calib:' 12 http://localhost:8000."""
    try:
        from ponikeeper_client.recall._affected_report import report
    except ModuleNotFoundError as error:
        raise MissingExtraError("catalog", error.name or "a library") from error
    report(prefix, revision, catalog, history or (), as_json)
