"""What is active after a request, whether it may be used, and what to type next: for the command line. Pure."""

import shlex
from typing import cast

from ponikeeper.protocol.link_values import is_within, measures_beam, quantity, wavelength_of
from ponikeeper.protocol.links import LinkState, in_service
from ponikeeper.protocol.origin import position_line
from ponikeeper.protocol.result import Result
from ponikeeper.protocol.snapshot import Snapshot
from ponikeeper.protocol.status import Status, applies
from ponikeeper.text import strictjson


def outcome_lines(prefix: str, result: Result, snapshot: Snapshot | None, *, position: bool = False) -> list[str]:
    """Format what an accepted request has led to.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    result
        Of the request; it names the revision that became active.
    snapshot
        Read after it; None if it could not be read.
    position
        Whether to name the recorded position of the links.

    Returns
    -------
    list of str
        The active revision with its status; the position; the next step where the geometry does not apply.
    """
    head = f"{prefix} revision {result.revision} is active (serial {result.serial})"
    if snapshot is None or snapshot.serial < (result.serial or 0):
        return [f"{head}; its status could not be read", f"next: ponikeeper status {shlex.quote(prefix)}"]
    if snapshot.serial != result.serial:
        head = (
            f"{prefix} revision {result.revision} became active (serial {result.serial}), but another request came "
            f"after it: revision {snapshot.revision} is active now (serial {snapshot.serial})"
        )
    lines = [f"{head} {status_text(snapshot)}"]
    links = snapshot.link_states or ()
    if position and snapshot.position:
        lines.append(position_line(snapshot.position))
    elif position and links and not in_service(links):
        lines.append("position: not recorded, since every link is out of service")
    return [*lines, *next_lines(snapshot)]


def active_lines(prefix: str, snapshot: Snapshot | None) -> list[str]:
    """Format what is active after a request that activates nothing, such as a label.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    snapshot
        Read after it; None if it could not be read.

    Returns
    -------
    list of str
        The active revision with its status, and the next step where the geometry does not apply.
    """
    if snapshot is None:
        return [f"{prefix}: what is active could not be read", f"next: ponikeeper status {shlex.quote(prefix)}"]
    if not snapshot.revision:
        return [f"{prefix} is {snapshot.status}: {snapshot.reason}", *next_lines(snapshot)]
    active = f"{prefix} revision {snapshot.revision} is active (serial {snapshot.serial})"
    return [f"{active} {status_text(snapshot)}", *next_lines(snapshot)]


def outcome_json(result: Result, snapshot: Snapshot | None) -> dict[str, object]:
    """Return what an accepted request has led to as a JSON object.

    Parameters
    ----------
    result, snapshot
        As for `outcome_lines`.

    Returns
    -------
    dict
        The keys of the result, and of the active geometry ``active_revision``, ``active_serial``, ``status``,
        ``reason``, ``applies``, ``position`` and ``next``; these are None if it could not be read.
    """
    names = ("active_revision", "active_serial", "status", "reason", "applies", "position", "next")
    values: tuple[object, ...] = (None,) * len(names)
    if snapshot is not None:
        values = (
            snapshot.revision,
            snapshot.serial,
            snapshot.status,
            snapshot.reason,
            applies(snapshot.status),
            strictjson.plain(snapshot.position),
            next_step(snapshot) or None,
        )
    return result.as_dict() | dict(zip(names, values, strict=True))


def status_text(snapshot: Snapshot) -> str:
    """Format whether the active geometry may be used, with status and reason, as the end of a sentence."""
    verdict = "and may be used" if applies(snapshot.status) else "but does not apply"
    return f"{verdict}: {snapshot.status}" + (f", {snapshot.reason}" if snapshot.reason else "")


def next_lines(snapshot: Snapshot) -> list[str]:
    """Format the next step as a line; none where the geometry may be used."""
    step = next_step(snapshot)
    return [f"next: {step}"] if step else []


def next_step(snapshot: Snapshot) -> str:
    """Return what a person should do now, with the command to type.

    It is the counterpart of ``Advice_RBV``, which names PVs.

    Parameters
    ----------
    snapshot
        What is active.

    Returns
    -------
    str
        Empty where the geometry may be used.
    """
    if applies(snapshot.status):
        return ""
    prefix = shlex.quote(snapshot.prefix)
    wait = f"ponikeeper status {prefix} --wait VALID"
    link = _deciding_link(snapshot)
    match snapshot.status:
        case Status.UNSET.name:
            return f"commit a geometry: ponikeeper put {prefix} FILE.poni --here"
        case Status.UNKNOWN.name:
            if link is not None and link.unknown_because is not None:
                return f"check {link.pv}, then type: {wait}"
            place = f"move the links to where revision {snapshot.revision} was calibrated"
            return f"{place}, then type: ponikeeper record-position {prefix}"
        case Status.SUPERSEDED.name | Status.RETRACTED.name:
            history = f"ponikeeper history {prefix} --tree"
            return f"find the right revision: {history}; then type: ponikeeper activate {prefix} NUMBER"
        case Status.OUT_OF_RANGE.name:
            return f"move the links into the range of the model, or calibrate here, then type: {wait}"
        case Status.MISMATCH.name if link is not None and link.value is not None and measures_beam(link):
            wavelength = f"{wavelength_of(link, link.value):.7g}"
            return f"correct {link.pv}, or if it is right, type: ponikeeper set {prefix} wavelength={wavelength}"
        case Status.MOVED.name if link is not None and _is_away(link):
            place = f"{link.pv} to {quantity(cast('float', link.calibrated), link.units)}"
            return f"activate the revision of this position, calibrate, or move {place}, then type: {wait}"
        case _:
            return f"wait: {wait}"


def _deciding_link(snapshot: Snapshot) -> LinkState | None:
    """Return the link that the first finding is about."""
    name = snapshot.findings[0][1] if snapshot.findings else ""
    return next((link for link in snapshot.link_states or () if link.name == name), None)


def _is_away(link: LinkState) -> bool:
    """Return whether a link is beyond its tolerance; one that is back waits only for the settling time."""
    known = link.value is not None and link.calibrated is not None
    return known and not is_within(link, cast("float", link.value), cast("float", link.calibrated))
