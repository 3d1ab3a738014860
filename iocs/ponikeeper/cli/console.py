"""What the commands share: arguments, calls over Channel Access, output."""

import asyncio
import sys
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ponikeeper.errors import ConfigError, MissingExtraError
from ponikeeper.protocol import Request, Result, parse_request, request_text
from ponikeeper.system import terminal
from ponikeeper.system.atomic_write import write_atomic

if TYPE_CHECKING:
    from rich.console import Console

    from ponikeeper.config import Config

T = TypeVar("T")

Prefix = Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@cache
def out() -> "Console":
    """Return the console of stdout; its library is loaded on demand, since most commands print plain lines."""
    return terminal.make_console()


@cache
def err() -> "Console":
    """Return the console of stderr."""
    return terminal.make_console(stderr=True)


def ca_client() -> Any:
    """Return the module of CA calls; imported on demand, so that the other commands need no Channel Access."""
    from ponikeeper.caclient import client

    return client


def ca_history() -> Any:
    """Return the module of CA calls for the history."""
    from ponikeeper.caclient import history

    return history


def run_ca(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that uses Channel Access, and return its result."""
    ca_client().create_context()
    return asyncio.run(coroutine)


def with_id(request: Request) -> Request:
    """Return a request with a new id, parsed as the IOC will parse it: timestamps are in UTC.

    Raises
    ------
    MessageError
        The request is not valid; it is not sent.
    """
    return parse_request(request_text(replace(request, request=str(uuid.uuid4()))))


def transact(prefix: str, request: Request) -> Result:
    """Send a request, with a new id if it has none, and return its result.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    request
        The request.

    Returns
    -------
    Result
        An accepted one.

    Raises
    ------
    RefusedError
        With the IOC's reasons.
    NotConnectedError
        The IOC does not answer.
    """
    return run_ca(ca_client().transact(prefix, request if request.request else with_id(request)))


def load_config(path: Path) -> "Config":
    """Load a configuration; raises `MissingExtraError` where the libraries of the IOC are not installed."""
    try:
        from ponikeeper.config import load
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pydantic") from error
    return load(path)


def print_text(text: str) -> None:
    """Print a text to stdout; what would control the terminal is escaped."""
    terminal.print_text(text)


def write_output(output: Path | None, text: str) -> bool:
    """Write a text to a file, whole or not at all, or to stdout.

    Parameters
    ----------
    output
        The file; ``-`` or None is stdout.

    Returns
    -------
    bool
        Whether it was a file.
    """
    if output is None or str(output) == "-":
        sys.stdout.write(text)
        return False
    write_atomic(output, text.encode("ascii"))
    return True


def make_folder(folder: Path) -> None:
    """Make a folder for output; raises `ConfigError` if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: expected a folder that can be written to") from error


def print_error(problem: str) -> None:
    """Print an error message to stderr."""
    from rich.text import Text

    err().print(Text(problem, style="bold red"), soft_wrap=True)  # in a str, rich replaces :a: in a PV name by an emoji
