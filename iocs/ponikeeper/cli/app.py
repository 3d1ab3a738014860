"""The command line: some commands run on the IOC host, the others on any host over Channel Access.

Exit codes: 0 success; 1 the request was refused, a geometry does not apply (or has not the status waited for), a
fit was rejected, or a history is damaged; 2 wrong usage or configuration; 3 no connection to the IOC;
4 the store cannot be used.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated

import typer

from ponikeeper import __version__
from ponikeeper.cli.console import print_error, print_text
from ponikeeper.errors import (
    EXTRAS,
    FitError,
    HistoryError,
    MissingExtraError,
    NotConnectedError,
    PonikeeperError,
    ProblemsError,
    RefusedError,
    StoreError,
)

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "serve": "serve:serve",
        "check": "serve:check",
        "get": "reading:get",
        "put": "committing:put",
        "set": "committing:set_",
        "show": "showing:show",
        "history": "history:history",
        "diff": "history:diff",
        "activate": "activation:activate",
        "undo": "activation:undo",
        "label": "activation:label",
        "record-position": "activation:record_position",
        "follow": "activation:follow",
        "integration": "integration:integration",
        "out-of-service": "links:out_of_service",
        "in-service": "links:in_service",
        "supersede": "corrections:supersede",
        "retract": "corrections:retract",
        "status": "status:status",
        "watch": "status:watch",
        "health": "health:health",
        "list": "inventory:list_",
        "clients": "inventory:clients",
        "export": "site_exports:export",
        "verify": "export:verify",
        "backup": "backup:backup",
        "install-unit": "install_unit:install_unit",
        "import": "importing:import_",
        "rename": "renaming:rename",
    }
)
"""The module of this package and the function, or the group, of each command, in the order of the help."""


def command_line(verb: str = "") -> typer.Typer:
    """Return the command line.

    Parameters
    ----------
    verb
        The first word behind ``ponikeeper``. If it is a command of this package, only its module is loaded, so that it
        starts fast; otherwise all commands are, those of every installed part included.
    """
    app = typer.Typer(
        help="The calibrated geometry of area detectors: the IOC and its command-line clients.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_options)
    if verb in COMMANDS:
        _add(app, verb)
        return app
    for name in COMMANDS:
        _add(app, name)
    from importlib.metadata import entry_points

    for entry in entry_points(group="ponikeeper.commands"):
        entry.load()(app)
    return app


def _add(app: typer.Typer, name: str) -> None:
    module, _, function = COMMANDS[name].partition(":")
    command = getattr(import_module(f"ponikeeper.cli.{module}"), function)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name=name)(command)


def run() -> None:
    """Run the command line, and exit with its exit code."""
    try:
        _run()
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PonikeeperError as error:
        lines = error.problems if isinstance(error, ProblemsError) else (str(error),)
        for line in lines:
            print_error(line)
        sys.exit(exit_code(error))


def _run() -> None:
    """Run the command line; raise `MissingExtraError` where a command needs a library that is not installed."""
    try:
        command_line("".join(sys.argv[1:2]))()
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise MissingExtraError(library) from error


def exit_code(error: PonikeeperError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, NotConnectedError):
        return 3
    if isinstance(error, StoreError):
        return 4
    return 1 if isinstance(error, RefusedError | FitError | HistoryError) else 2


def _options(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        print_text(__version__)
        raise typer.Exit
