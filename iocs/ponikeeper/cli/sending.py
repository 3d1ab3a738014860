"""Send a request, and print what is active then: the revision, whether it may be used, and what to type next."""

import math
from typing import Annotated

import typer

from ponikeeper.cli.console import ca_client, print_error, print_text, run_ca, transact
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Request, Snapshot, applies, outcome
from ponikeeper.protocol.status import Status
from ponikeeper.text.strictjson import dumps

WAIT_TIMEOUT = 60.0
"""Default seconds to wait until a geometry applies."""

Wait = Annotated[bool, typer.Option("--wait", help="wait until the geometry applies; exit code 1 if it does not")]
Timeout = Annotated[
    float | None, typer.Option(help=f"with --wait: seconds to wait; {WAIT_TIMEOUT:g}", show_default=False)
]


def wait_seconds(wait: bool, timeout: float | None) -> float | None:
    """Return how long to wait (s).

    Parameters
    ----------
    wait, timeout
        Values of ``--wait`` and ``--timeout``.

    Returns
    -------
    float or None
        None without ``--wait``.

    Raises
    ------
    ConfigError
        The time is not positive and finite, or given without ``--wait``.
    """
    if timeout is not None and not wait:
        raise ConfigError("--timeout is given without --wait: expected both, or none")
    return seconds_to_wait(timeout, WAIT_TIMEOUT) if wait else None


def seconds_to_wait(given: float | None, default: float) -> float:
    """Return how long to wait (s); raises `ConfigError` if that is not a positive, finite time."""
    seconds = default if given is None else given
    if not 0 < seconds < math.inf:
        raise ConfigError(f"--timeout {seconds:g} is not allowed: expected seconds, more than 0")
    return seconds


def send(prefix: str, request: Request, *, as_json: bool, position: bool = False, seconds: float | None = None) -> None:
    """Send a request, and print what is active then.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    request
        The request; it activates a revision, or changes what is known of the active one.
    as_json
        Whether to print JSON.
    position
        Whether to print the recorded position of the links.
    seconds
        How long to wait until the geometry applies (s); None does not wait.

    Raises
    ------
    RefusedError
        With the IOC's reasons.
    NotConnectedError
        The IOC does not answer.
    typer.Exit
        With exit code 1, the geometry does not apply in time; with 3, the IOC does not answer any more.
    """
    result = transact(prefix, request)
    snapshot = read_active(prefix)
    waits = seconds is not None and not _may_be_used(snapshot)
    if not (as_json and waits):
        lines = outcome.outcome_lines(prefix, result, snapshot, position=position)
        print_text(dumps(outcome.outcome_json(result, snapshot)) if as_json else "\n".join(lines))
    if not waits:
        return
    answer = run_ca(ca_client().wait_for_status([prefix], Status.VALID.name, seconds))[prefix]
    snapshot = answer if isinstance(answer, Snapshot) else None
    lines = outcome.outcome_lines(prefix, result, snapshot)
    print_text(dumps(outcome.outcome_json(result, snapshot)) if as_json else "\n".join(lines))
    if not _may_be_used(snapshot):
        print_error(f"timed out after {seconds:g} s waiting until the geometry of {prefix} applies")
        raise typer.Exit(3 if snapshot is None else 1)


def read_active(prefix: str) -> Snapshot | None:
    """Return what is active; None if it cannot be read, since the request before it was accepted anyway."""
    answer = run_ca(ca_client().read_snapshots([prefix]))[prefix]
    return answer if isinstance(answer, Snapshot) else None


def _may_be_used(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and applies(snapshot.status)
