"""What the commands have in common: their arguments, how they ask over Channel Access, how they print."""

import asyncio
import sys
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Request, Result, parse_request, request_text
from ponikeeper.system.atomic_write import write_atomic

T = TypeVar("T")

out = Console()
err = Console(stderr=True)

Prefix = Annotated[str, typer.Argument(help="PV prefix of the detector, such as 'XF:28ID1-ES{Det:PE1}Calib:'")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def ca_client() -> Any:
    """Give the CA calls; loaded where they are used, so that the other commands need no Channel Access."""
    from ponikeeper.caclient import client

    return client


def ca_history() -> Any:
    """Give the CA calls for the history."""
    from ponikeeper.caclient import history

    return history


def run_ca(work: Coroutine[Any, Any, T]) -> T:
    """Run one exchange over Channel Access."""
    ca_client().create_context()
    return asyncio.run(work)


def with_id(request: Request) -> Request:
    """Give a request an id of its own, as the IOC will read it: instants are UTC.

    Raises
    ------
    MessageError
        Something is wrong with it, which is told here, and not sent.
    """
    return parse_request(request_text(replace(request, request=str(uuid.uuid4()))))


def transact(prefix: str, request: Request) -> Result:
    """Send a request, with an id of its own, and give what became of it.

    Raises
    ------
    RefusedError
        With the IOC's reasons.
    NotConnectedError
        It does not answer.
    """
    return run_ca(ca_client().transact(prefix, request if request.request else with_id(request)))


def print_text(text: str) -> None:
    """Print a text as it is, for people and for pipes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


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
    """Print on stderr what went wrong."""
    err.print(Text(problem, style="bold red"), soft_wrap=True)  # a str would have :a: of a PV's name made a picture
