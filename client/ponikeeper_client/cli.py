"""The commands that need the client's side of ponikeeper."""

from typing import Annotated

import typer

from ponikeeper.errors import MissingExtraError
from ponikeeper_client.fit.command import fit


def add_commands(app: typer.Typer) -> None:
    """Join the commands of this package to the command line."""
    app.command()(demo)
    app.command()(fit)


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="leave the IOC serving at the end, until Ctrl-C")] = False,
) -> None:
    """Show the whole path without hardware: ponikeeper demo."""
    try:
        from ponikeeper_client.demo import story

        story.run(stay)
    except ModuleNotFoundError as error:
        raise MissingExtraError("all", error.name or "a library") from error
