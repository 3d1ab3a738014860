"""The commands that need the client's side of ponikeeper."""

import typer


def add_commands(app: typer.Typer) -> None:
    """Join the commands of this package to the command line."""
