"""What there is to say against an image that is taken now: pure."""

from collections.abc import Collection, Sequence

from ponikeeper.protocol import LinkState

OF_LINKS = ("MOVING", "MOVED", "MISMATCH")
"""The statuses that a link which is scanned on purpose explains."""


def off_links(links: Sequence[LinkState]) -> set[str]:
    """Name the links that move, or are not where the geometry in force holds."""
    return {link.name for link in links if link.moving or not link.within}


def concern(status: str, reason: str, links: Sequence[LinkState], moving: Collection[str]) -> str | None:
    """Say why the geometry does not hold; None where it does, or where a declared scan alone is the cause.

    Parameters
    ----------
    status, reason
        As the IOC tells them.
    links
        Where the linked PVs stand.
    moving
        Names of links that are scanned on purpose.
    """
    off = off_links(links)
    if status == "VALID" or (status in OF_LINKS and off and off <= set(moving)):
        return None
    return f"the status is {status}, {reason}" if reason else f"the status is {status}"


def unknown_links(moving: Collection[str], links: Sequence[LinkState]) -> str | None:
    """Say which names are no link; None where each is one."""
    known = {link.name for link in links}
    missing = [name for name in moving if name not in known]
    if not missing:
        return None
    names = ", ".join(sorted(known)) or "none"
    return f"moving={list(moving)!r}: {', '.join(missing)} is no link of what is read; the links are {names}"
