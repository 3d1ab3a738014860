"""The commands that say what holds, and what was found out later: activate, here, follow, supersede, retract."""

import contextlib
from typing import Annotated, Literal

import typer

from ponikeeper.console import AsJson, Prefix, ask, client, emit, identified, over_ca
from ponikeeper.errors import NotConnectedError
from ponikeeper.messages import Activate, Follow, Here, Retract, Supersede
from ponikeeper.strictjson import dumps
from ponikeeper.tables import in_force_line, period

Judged = Annotated[int, typer.Argument(help="the number of the revision that was wrong")]
Reason = Annotated[str, typer.Option(help="what was wrong, for whoever reads the history")]


def activate(
    prefix: Prefix,
    revision: Annotated[str, typer.Argument(help="number or label")],
    force: Annotated[bool, typer.Option("--force", help="although it was judged wrong")] = False,
    as_json: AsJson = False,
) -> None:
    """Put an old revision in force again: ponikeeper activate 'XF:28ID1-ES{Det:PE1}Calib:' near."""
    name = int(revision) if revision.isascii() and revision.isdigit() else revision
    result = ask(prefix, Activate(name, force))
    emit(dumps(result.as_dict()) if as_json else in_force_line(prefix, result))


def here(prefix: Prefix, as_json: AsJson = False) -> None:
    """Say that the geometry in force holds where the links stand: ponikeeper here 'XF:28ID1-ES{Det:PE1}Calib:'."""
    result = ask(prefix, Here())
    says = f"{prefix} revision {result.revision} holds where the links stand now (serial {result.serial})"
    emit(dumps(result.as_dict()) if as_json else says)


def follow(
    prefix: Prefix,
    state: Annotated[
        Literal["on", "off"] | None, typer.Argument(help="left out: tell whether it does", case_sensitive=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let the geometry follow the links to a known position: ponikeeper follow 'XF:28ID1-ES{Det:PE1}Calib:' on."""
    if state is None:
        follows = over_ca(client().read_follow(prefix))
        emit(dumps({"prefix": prefix, "follow": follows}) if as_json else f"{prefix} {_following(follows)}")
        return
    result = ask(prefix, Follow(state == "on"))
    emit(dumps(result.as_dict()) if as_json else f"{prefix} {_following(state == 'on')} from now on")


def supersede(
    prefix: Prefix,
    revision: Judged,
    by: Annotated[int, typer.Option(help="the number of the revision that is right")],
    reason: Reason,
    since: Annotated[str | None, typer.Option(help="wrong from this instant on, such as 2026-11-22T09:30:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="wrong before this instant only")] = None,
    as_json: AsJson = False,
) -> None:
    """Say that a revision was wrong, and which is right: ponikeeper supersede 'P:' 12 --by 15 --reason 'bad energy'."""
    _judge(prefix, Supersede(revision, by, reason, since, until), as_json)


def retract(prefix: Prefix, revision: Judged, reason: Reason, as_json: AsJson = False) -> None:
    """Say that a revision was wrong, and nothing is right: ponikeeper retract 'P:' 12 --reason 'the panel was off'."""
    _judge(prefix, Retract(revision, reason), as_json)


def _judge(prefix: str, request: Supersede | Retract, as_json: bool) -> None:
    """Send a judgement, and say what it is about."""
    asked = identified(request)
    result = ask(prefix, asked)
    if as_json:
        emit(dumps(result.as_dict()))
        return
    what, open_ended = "retracted", True
    if isinstance(asked, Supersede):
        when = period(asked.since, asked.until)
        what, open_ended = f"superseded by revision {asked.by}{when and f' {when}'}", asked.until is None
    line = f"{prefix} revision {request.revision} is {what}"
    if open_ended and _in_force(prefix) == request.revision:
        line += "; it stays in force until another one is activated"
    emit(line)


def _in_force(prefix: str) -> int | None:
    """Tell which revision is in force; None where that cannot be read any more: what was accepted stays so."""
    with contextlib.suppress(NotConnectedError):
        return over_ca(client().read_snapshot(prefix)).revision
    return None


def _following(follows: bool) -> str:
    return "follows the links to known positions" if follows else "does not follow the links"
