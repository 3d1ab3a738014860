"""The commands that correct the history: supersede, retract."""

from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, print_text, transact, with_id
from ponikeeper.cli.rendering import period
from ponikeeper.cli.sending import read_active
from ponikeeper.history.typed_numbers import revision_number
from ponikeeper.protocol import Retract, Supersede, outcome
from ponikeeper.text.strictjson import dumps

WrongRevision = Annotated[str, typer.Argument(help="the number of the revision that was wrong")]
Reason = Annotated[str, typer.Option(help="what was wrong, for later readers of the history")]


def supersede(
    prefix: Prefix,
    revision: WrongRevision,
    by: Annotated[str, typer.Option(metavar="N", help="the number of the revision that is right")],
    reason: Reason,
    since: Annotated[str | None, typer.Option(help="wrong from this time on, such as 2026-11-22T09:30:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="wrong before this time only")] = None,
    as_json: AsJson = False,
) -> None:
    """Correct a wrong revision by naming the right one: ponikeeper supersede 'P:' 12 --by 15 --reason 'bad energy'."""
    _correct(prefix, Supersede(revision_number(revision), revision_number(by), reason, since, until), as_json)


def retract(prefix: Prefix, revision: WrongRevision, reason: Reason, as_json: AsJson = False) -> None:
    """Mark a revision as wrong, without a replacement: ponikeeper retract 'P:' 12 --reason 'the panel was off'."""
    _correct(prefix, Retract(revision_number(revision), reason), as_json)


def _correct(prefix: str, request: Supersede | Retract, as_json: bool) -> None:
    """Send a correction, and print what it changes."""
    identified = with_id(request)
    result = transact(prefix, identified)
    snapshot = read_active(prefix)
    if as_json:
        print_text(dumps(outcome.outcome_json(result, snapshot)))
        return
    what, open_ended = "retracted", True
    if isinstance(identified, Supersede):
        period_text = period(identified.since, identified.until)
        what, open_ended = (
            f"superseded by revision {identified.by}{period_text and f' {period_text}'}",
            identified.until is None,
        )
    lines = [f"{prefix} revision {request.revision} is {what}"]
    if open_ended and snapshot is not None and snapshot.revision == request.revision:
        lines = [f"{lines[0]}; it stays active until another one is activated", *outcome.next_lines(snapshot)]
    print_text("\n".join(lines))
