"""The command line: some commands run on the IOC host, the others on any host over Channel Access.

Exit codes: 0 success; 1 the request was refused, a geometry does not apply (or has not the status waited for), a
fit was rejected, or a history is damaged; 2 wrong usage or configuration; 3 no connection to the IOC;
4 the store cannot be used.
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
    links,
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
    help="The calibrated geometry of area detectors: the IOC and its command-line clients.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def run() -> None:
    """Run the command line with the commands of every installed part, and exit with its exit code."""
    for entry in entry_points(group="ponikeeper.commands"):
        entry.load()(app)
    try:
        app()
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PonikeeperError as error:
        lines = error.problems if isinstance(error, ProblemsError) else (str(error),)
        for line in lines:
            print_error(line)
        sys.exit(exit_code(error))


def exit_code(error: PonikeeperError) -> int:
    """Return the exit code of an error."""
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
for command in (
    activation.activate,
    activation.undo,
    activation.label,
    activation.record_position,
    activation.follow,
):
    app.command()(command)
for command in (links.out_of_service, links.in_service):
    app.command()(command)
for command in (corrections.supersede, corrections.retract):
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
