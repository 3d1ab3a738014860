"""The commands that say what was found out later: supersede, retract."""

import contextlib
from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_client, print_text, run_ca, transact, with_id
from ponikeeper.cli.rendering import period
from ponikeeper.errors import NotConnectedError
from ponikeeper.protocol import Retract, Supersede
from ponikeeper.text.strictjson import dumps

WrongRevision = Annotated[int, typer.Argument(help="the number of the revision that was wrong")]
Reason = Annotated[str, typer.Option(help="what was wrong, for whoever reads the history")]


def supersede(
    prefix: Prefix,
    revision: WrongRevision,
    by: Annotated[int, typer.Option(help="the number of the revision that is right")],
    reason: Reason,
    since: Annotated[str | None, typer.Option(help="wrong from this instant on, such as 2026-11-22T09:30:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="wrong before this instant only")] = None,
    as_json: AsJson = False,
) -> None:
    """Say that a revision was wrong, and which is right: ponikeeper supersede 'P:' 12 --by 15 --reason 'bad energy'."""
    _correct(prefix, Supersede(revision, by, reason, since, until), as_json)


def retract(prefix: Prefix, revision: WrongRevision, reason: Reason, as_json: AsJson = False) -> None:
    """Say that a revision was wrong, and nothing is right: ponikeeper retract 'P:' 12 --reason 'the panel was off'."""
    _correct(prefix, Retract(revision, reason), as_json)


def _correct(prefix: str, request: Supersede | Retract, as_json: bool) -> None:
    """Send a judgement, and say what it is about."""
    identified = with_id(request)
    result = transact(prefix, identified)
    if as_json:
        print_text(dumps(result.as_dict()))
        return
    what, open_ended = "retracted", True
    if isinstance(identified, Supersede):
        period_text = period(identified.since, identified.until)
        what, open_ended = (
            f"superseded by revision {identified.by}{period_text and f' {period_text}'}",
            identified.until is None,
        )
    line = f"{prefix} revision {request.revision} is {what}"
    if open_ended and _active_revision(prefix) == request.revision:
        line += "; it stays in force until another one is activated"
    print_text(line)


def _active_revision(prefix: str) -> int | None:
    """Tell which revision is in force; None where that cannot be read any more: what was accepted stays so."""
    with contextlib.suppress(NotConnectedError):
        return run_ca(ca_client().read_snapshot(prefix)).revision
    return None
