"""Which links are out of service. Pure."""

from collections.abc import Iterable, Mapping

from ponikeeper.history.record_form import OUT_OF_SERVICE
from ponikeeper.history.records import ServiceChange


def links_out_of_service(changes: Iterable[ServiceChange]) -> Mapping[str, ServiceChange]:
    """Return the links that are out of service now.

    Parameters
    ----------
    changes
        All of one detector, in their order.

    Returns
    -------
    Mapping
        By the name of each link the change that took it out of service.
    """
    latest = {change.link: change for change in changes}
    return {link: change for link, change in latest.items() if change.kind == OUT_OF_SERVICE}


def describe_service(change: ServiceChange) -> str:
    """Format why a link is out of service: ``out of service since 2026-11-22T09:30:00Z by oper@host: IOC is down``."""
    return f"out of service since {change.time[:19]}Z by {change.author}: {change.reason}"
