"""The commands that decide which revision is active: activate, record-position, follow."""

from typing import Annotated, Literal

import typer

from ponikeeper.cli.console import AsJson, Prefix, ca_client, print_text, run_ca, transact
from ponikeeper.cli.sending import send
from ponikeeper.protocol import Activate, Follow, RecordPosition
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
    result = transact(prefix, Follow(state == "on"))
    print_text(dumps(result.as_dict()) if as_json else f"{prefix} {_follow_text(state == 'on')} from now on")


def _follow_text(follows: bool) -> str:
    return "follows the links to known positions" if follows else "does not follow the links"
