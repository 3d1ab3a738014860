"""The commands that take links out of service and return them: out-of-service, in-service."""

from typing import Annotated

import typer

from ponikeeper.cli.console import AsJson, Prefix, print_text, transact
from ponikeeper.protocol import InService, OutOfService
from ponikeeper.text.strictjson import dumps

LinkName = Annotated[str, typer.Argument(help="the name of the link in the configuration, such as z")]


def out_of_service(
    prefix: Prefix,
    link: LinkName,
    reason: Annotated[str, typer.Option(help="why, for everyone who uses the geometry meanwhile")],
    as_json: AsJson = False,
) -> None:
    """Mark a link as out of service: ponikeeper out-of-service 'P:' z --reason 'controller is being repaired'.

    Until it is returned to service it is compared with no geometry, its value is not recorded, and following ignores
    it. Status, screen and every run say so.
    """
    result = transact(prefix, OutOfService(link, reason))
    text = f"{prefix} link {link} is out of service: nothing checks it until ponikeeper in-service '{prefix}' {link}"
    print_text(dumps(result.as_dict()) if as_json else text)


def in_service(
    prefix: Prefix,
    link: LinkName,
    reason: Annotated[str, typer.Option(help="a remark for the history")] = "",
    as_json: AsJson = False,
) -> None:
    """Return a link to service: ponikeeper in-service 'P:' z."""
    result = transact(prefix, InService(link, reason))
    text = f"{prefix} link {link} is in service; a geometry whose position lacks it does not apply until it is recorded"
    print_text(dumps(result.as_dict()) if as_json else text)
