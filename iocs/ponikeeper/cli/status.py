"""The commands that print the status of the geometry: status, watch."""

from collections.abc import Mapping
from typing import Annotated

import typer

from ponikeeper.cli import rendering
from ponikeeper.cli.console import AsJson, Prefix, ca_client, out, print_error, print_text, run_ca
from ponikeeper.cli.rendering import Answer
from ponikeeper.cli.sending import WAIT_TIMEOUT, seconds_to_wait
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.status import Status, reaches
from ponikeeper.text.strictjson import dumps

_ANSWER = 5.0
"""Default seconds to wait for an answer."""


def status(
    prefixes: Annotated[list[str], typer.Argument(metavar="PREFIX", help="PV prefixes of the detectors")],
    wait: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="wait until all have this status at the same time; VALID: until all apply"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help=f"seconds to wait; {_ANSWER:g}, with --wait {WAIT_TIMEOUT:g}", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the status of geometries: ponikeeper status 'XF:28ID1-ES{Det:PE1}Calib:' --wait VALID --timeout 60.

    The exit code is 0 if all apply (VALID, UNWATCHED or UNCERTAIN; with --wait: have that status), 1 if not, 3 if
    one does not answer.
    """
    wanted = Status.VALID.name if wait is None else _status(wait)
    seconds = seconds_to_wait(timeout, _ANSWER if wait is None else WAIT_TIMEOUT)
    names = list(dict.fromkeys(prefixes))
    calls = ca_client()
    answers: Mapping[str, Answer] = run_ca(
        calls.read_snapshots(names, seconds) if wait is None else calls.wait_for_status(names, wanted, seconds)
    )
    if as_json:
        print_text(f"[{', '.join(_as_json(name, answer) for name, answer in answers.items())}]")
    else:
        for line in rendering.status_lines(answers):
            out().print(line, soft_wrap=True)
    others = {
        name: answer
        for name, answer in answers.items()
        if not isinstance(answer, Snapshot) or not reaches(answer.status, wanted)
    }
    if others and wait is not None:
        states = ", ".join(f"{name} {_status_text(answer)}" for name, answer in others.items())
        print_error(f"timed out after {seconds:g} s waiting for {wanted}: {states}")
    unanswered = any(not isinstance(answer, Snapshot) for answer in others.values())
    raise typer.Exit(3 if unanswered else 1 if others else 0)


def watch(prefix: Prefix, as_json: AsJson = False) -> None:
    """Print a line at every change, until Ctrl-C: ponikeeper watch 'XF:28ID1-ES{Det:PE1}Calib:'."""

    def line(snapshot: Snapshot) -> None:
        print_text(snapshot.as_json() if as_json else rendering.one_line(snapshot))

    try:
        run_ca(ca_client().watch(prefix, line))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _status(text: str) -> str:
    """Parse the name of a status; raises `ConfigError` with all names if it is unknown."""
    if text.upper() not in Status.__members__:
        raise ConfigError(f"--wait {text} is not a status: expected one of {' '.join(Status.__members__)}")
    return text.upper()


def _as_json(prefix: str, answer: Answer) -> str:
    if isinstance(answer, Snapshot):
        return answer.as_json()
    return dumps({"prefix": prefix, "status": None, "reason": str(answer)})


def _status_text(answer: Answer) -> str:
    return f"is {answer.status}" if isinstance(answer, Snapshot) else "does not answer"
