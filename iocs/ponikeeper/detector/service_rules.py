"""Decide whether a link is taken out of service or returned to it, or why that is refused. Pure."""

from collections.abc import Collection

from ponikeeper.errors import RefusedError
from ponikeeper.history import ServiceChange
from ponikeeper.history.service import links_out_of_service
from ponikeeper.protocol import InService, OutOfService
from ponikeeper.store import StoredState
from ponikeeper.text.ascii import json_literal


def decide_service_change(
    request: OutOfService | InService, stored: StoredState, links: Collection[str], time: str, author: str
) -> ServiceChange:
    """Check a request to take a link out of service or to return it, and return its record.

    Parameters
    ----------
    request
        The request.
    stored
        What the store has of the detector.
    links
        Names of the links in the configuration.
    time
        Of the record, UTC ISO-8601.
    author
        Of the record.

    Returns
    -------
    ServiceChange
        Without its number.

    Raises
    ------
    RefusedError
        There is no such link, or one that is to return is in service.
    """
    if request.link not in links:
        known = f"expected one of {' '.join(links)}" if links else "the configuration has no links"
        raise RefusedError(f"there is no link {json_literal(request.link)}: {known}")
    if isinstance(request, InService) and request.link not in links_out_of_service(stored.service):
        raise RefusedError(f"link {request.link} is in service: nothing to change")
    return ServiceChange(0, request.op, request.link, request.reason, time, author)
