"""The commands that decide which revision is active: activate, undo, label, record-position, follow."""

from typing import Annotated, Literal

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_client, print_text, run_ca, transact
from ponikeeper.cli.sending import read_active, send
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Activate, Follow, Label, RecordPosition, Undo, outcome
from ponikeeper.text.strictjson import dumps


def activate(
    prefix: Prefix,
    revision: Annotated[str, typer.Argument(help="number or label")],
    force: Annotated[bool, typer.Option("--force", help="even if it was superseded or retracted")] = False,
    as_json: AsJson = False,
) -> None:
    """Activate a revision again: ponikeeper activate 'XF:28ID1-ES{Det:PE1}Calib:' near."""
    name = int(revision) if revision.isascii() and revision.isdigit() else revision
    send(prefix, Activate(name, force), as_json=as_json)


def undo(
    prefix: Prefix,
    serial: Annotated[
        int | None, typer.Option("--expect-serial", min=1, help="only if this activation is still the newest one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Undo the last activation that a person or a client asked for: ponikeeper undo 'XF:28ID1-ES{Det:PE1}Calib:'."""
    send(prefix, Undo(serial), as_json=as_json)


def label(
    prefix: Prefix,
    name: Annotated[str | None, typer.Argument(metavar="LABEL", help="such as near")] = None,
    revision: Annotated[
        int | None, typer.Option("--revision", min=1, help="its number; omitted: the active one")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="leave the revision without a label")] = False,
    as_json: AsJson = False,
) -> None:
    """Label a revision: ponikeeper label 'XF:28ID1-ES{Det:PE1}Calib:' near."""
    if (name is None) != remove:
        raise ConfigError("give a label, or --remove" if name is None else "a label and --remove are given: give one")
    _send(prefix, Label(name, revision), f"is labelled {name}" if name else "has no label", as_json)


def record_position(prefix: Prefix, as_json: AsJson = False) -> None:
    """Record the present position for the active geometry: ponikeeper record-position 'XF:28ID1-ES{Det:PE1}Calib:'."""
    send(prefix, RecordPosition(), as_json=as_json, position=True)


def follow(
    prefix: Prefix,
    state: Annotated[
        Literal["on", "off"] | None, typer.Argument(help="omitted: print whether it is on", case_sensitive=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Switch following on or off, or print whether it is on: ponikeeper follow 'XF:28ID1-ES{Det:PE1}Calib:' on."""
    if state is None:
        follows = run_ca(ca_client().read_follow(prefix))
        print_text(dumps({"prefix": prefix, "follow": follows}) if as_json else f"{prefix} {_follow_text(follows)}")
        return
    _send(prefix, Follow(state == "on"), f"{_follow_text(state == 'on')} from now on", as_json)


def _send(prefix: str, request: Label | Follow, what: str, as_json: bool) -> None:
    """Send a request that activates no revision itself; print what it did, what is active and whether it applies."""
    result = transact(prefix, request)
    snapshot = read_active(prefix)
    if as_json:
        print_text(dumps(outcome.outcome_json(result, snapshot)))
        return
    subject = f"revision {result.revision} " if isinstance(request, Label) else ""
    print_text("\n".join([f"{prefix} {subject}{what}", *outcome.active_lines(prefix, snapshot)]))


def _follow_text(follows: bool) -> str:
    return "follows the links to known positions" if follows else "does not follow the links"
