"""The command line: serve and check on the IOC host, and from any host over Channel Access the rest.

Exit codes: 0 done, 1 refused, a status that is not VALID (or not the one waited for), a fit that
cannot be stood for, or a history that is not what was written, 2 usage or configuration, 3 no
connection, 4 store.
"""

import os
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from ponikeeper import __version__
from ponikeeper.cli import (
    activation,
    backup,
    corrections,
    export,
    geometry,
    history,
    importing,
    install_unit,
    serve,
    site_exports,
    status,
)
from ponikeeper.cli.console import out, print_error
from ponikeeper.errors import (
    FitError,
    HistoryError,
    NotConnectedError,
    PonikeeperError,
    ProblemsError,
    RefusedError,
    StoreError,
)

app = typer.Typer(
    help="Keeps the calibrated geometry of area detectors: the IOC, and its clients on any host.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def run() -> None:
    """Run the command line with the commands of every installed part, and end with its exit code."""
    for entry in entry_points(group="ponikeeper.commands"):
        entry.load()(app)
    try:
        app()
    except BrokenPipeError:  # who read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PonikeeperError as error:
        lines = error.problems if isinstance(error, ProblemsError) else (str(error),)
        for line in lines:
            print_error(line)
        sys.exit(exit_code(error))


def exit_code(error: PonikeeperError) -> int:
    """Give the exit code that stands for an error."""
    if isinstance(error, NotConnectedError):
        return 3
    if isinstance(error, StoreError):
        return 4
    return 1 if isinstance(error, RefusedError | FitError | HistoryError) else 2


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


for command in (serve.serve, serve.check, geometry.get, geometry.put):
    app.command()(command)
app.command(name="set")(geometry.set_)
for command in (geometry.show, history.history, history.diff):
    app.command()(command)
for command in (activation.activate, activation.here, activation.follow, corrections.supersede, corrections.retract):
    app.command()(command)
for command in (status.status, status.watch):
    app.command()(command)
for command in (site_exports.alarms, site_exports.archiver, site_exports.pvlist, site_exports.screens):
    export.export.command()(command)
app.add_typer(export.export, name="export")
app.command()(export.verify)
app.command()(backup.backup)
app.command(name="install-unit")(install_unit.install_unit)
app.command(name="import")(importing.import_)
