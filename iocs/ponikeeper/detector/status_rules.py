"""Whether the active revision applies now, with every reason against it. Pure.

The alarm severity of each status is in `ponikeeper.protocol.pvs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ponikeeper.detector.commit_rules import MAX_REASON, WHERE_TO_BEGIN
from ponikeeper.detector.link_rules import calibrated_value, quantity
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.protocol import LinkState, is_within, measures_beam, nominal_value
from ponikeeper.protocol.links import kind_of
from ponikeeper.protocol.pvs import Status
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import to_ascii

PRECEDENCE = (Status.UNSET, Status.UNKNOWN, Status.CONDEMNED, Status.MOVING, Status.MOVED, Status.MISMATCH)
"""Which status is shown if several apply; if none of them applies, it is VALID."""

_ELLIPSIS = "..."
_MAX_ESCAPED = 6
"""Largest number of characters that JSON needs for one character."""

UNWATCHED = "no links are configured: nothing checks this geometry"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason against the active revision.

    Parameters
    ----------
    status
        The status that it leads to.
    link
        Name of the link that it is about; empty if it is about the revision itself.
    text
        For a person.
    """

    status: Status
    link: str
    text: str


def findings_about(
    revision: Revision | None, corrections: Sequence[Correction], links: Sequence[LinkState]
) -> tuple[Finding, ...]:
    """Find every reason against the active revision.

    Parameters
    ----------
    revision
        The active revision, None if nothing was ever committed.
    corrections
        All corrections of the detector's revisions.
    links
        The links as they are now, with their values for this revision.

    Returns
    -------
    tuple of Finding
        The first one decides the status.
    """
    if revision is None:
        return (Finding(Status.UNSET, "", f"no geometry was ever committed: {WHERE_TO_BEGIN}"),)
    findings = [finding for link in links for finding in _link_findings(link, revision)]
    if links and revision.position is None:
        unrecorded = f"the position of revision {revision.number} was never recorded"
        text = f"{unrecorded}: move the links to that position, then put 1 to RecordPosition"
        findings.insert(0, Finding(Status.UNKNOWN, "", text))
    correction = correction_of(corrections, revision.number)
    if correction is not None:
        findings.append(
            Finding(Status.CONDEMNED, "", f"revision {revision.number} was {describe_correction(correction)}")
        )
    return tuple(sorted(findings, key=lambda finding: PRECEDENCE.index(finding.status)))


def status_of(findings: Sequence[Finding]) -> Status:
    """Return the status that findings lead to; VALID if there are none."""
    return findings[0].status if findings else Status.VALID


def reason_of(findings: Sequence[Finding], *, watched: bool) -> str:
    """Format all findings as one ASCII text that is short enough for a snapshot.

    Parameters
    ----------
    findings
        In their order.
    watched
        Whether the detector has links.

    Returns
    -------
    str
    """
    general = [] if watched or status_of(findings) is Status.UNSET else [UNWATCHED]
    listed, left_out = [*findings], 0
    text = _joined([finding.text for finding in listed], general, left_out)
    while len(strictjson.dumps(text)) > MAX_REASON and any(finding.link for finding in listed):
        listed.remove([finding for finding in listed if finding.link][-1])  # those about the revision stay
        left_out += 1
        text = _joined([finding.text for finding in listed], general, left_out)
    while (excess := len(strictjson.dumps(text)) - MAX_REASON) > 0:
        text = text[: -len(_ELLIPSIS) - excess // _MAX_ESCAPED - 1] + _ELLIPSIS
    return text


def _joined(texts: Sequence[str], general: Sequence[str], left_out: int) -> str:
    more = [f"and {left_out} more links"] if left_out else []
    return to_ascii("; ".join([*texts, *more, *general]))


def _link_findings(link: LinkState, revision: Revision) -> list[Finding]:
    """Find every reason that one link gives against a revision."""
    findings: list[Finding] = []
    recorded = calibrated_value(link, revision.position)
    by_wavelength = recorded is None and measures_beam(link)
    if revision.position is not None and recorded is None and not by_wavelength:
        findings.append(Finding(Status.UNKNOWN, link.name, _not_recorded(link, revision)))
    if link.moving and link.connected and link.value is not None:
        findings.append(Finding(Status.MOVING, link.name, f"{link.name} is moving"))
    elif link.unknown_because:
        findings.append(Finding(Status.UNKNOWN, link.name, link.unknown_because))
    elif link.within is False:
        reference = nominal_value(link, revision.geometry.wavelength) if recorded is None else recorded
        status = Status.MISMATCH if by_wavelength else Status.MOVED
        findings.append(Finding(status, link.name, _distance_text(link, reference, by_wavelength=by_wavelength)))
    return findings


def _not_recorded(link: LinkState, revision: Revision) -> str:
    recorded = (revision.position or {}).get(link.name)
    if recorded is None:
        unrecorded = f"{link.name} was not recorded for revision {revision.number}"
        return f"{unrecorded}: move the links to the position of that revision, then put 1 to RecordPosition"
    units = recorded["units"] or "no units"
    return f"{link.name} was recorded in {units}, the configuration has {link.units or 'none'}"


def _distance_text(link: LinkState, reference: float | None, *, by_wavelength: bool) -> str:
    """Describe the value of a link and the value that it should have."""
    assert link.value is not None  # or `within` would be None
    assert reference is not None
    value = quantity(link.value, link.units)
    if is_within(link, link.value, reference):
        return f"{link.name} is back at {value}, not for long enough yet"
    expected = "the wavelength corresponds to" if by_wavelength else "calibrated at"
    return f"{link.name} is at {value}, {expected} {quantity(reference, link.units)}, {_tolerance(link)}"


def _tolerance(link: LinkState) -> str:
    if link.tolerance is None:
        return "any change counts"
    relative = " relative" if kind_of(link).is_relative else f" {link.units}"
    return f"tolerance {link.tolerance:g}{relative}"
