"""Whether a revision applies where the links are, with every reason against it. Pure.

The IOC decides with it about the active revision, and recall about the revision that it returns.
"""

from collections.abc import Sequence

from ponikeeper.geometry.files import files_of, missing_hashes
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import chain, describe_correction
from ponikeeper.protocol.finding import Finding
from ponikeeper.protocol.link_values import (
    calibrated_value,
    contradicts_wavelength,
    is_within,
    kind_of,
    measures_beam,
    nominal_value,
    quantity,
)
from ponikeeper.protocol.links import LinkState, in_service
from ponikeeper.protocol.model_findings import model_findings
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.origin import is_edited
from ponikeeper.protocol.status import PRECEDENCE, Status
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import cut, to_ascii

MAX_REASON = 1000
"""Largest number of characters of a status's reason; every snapshot has room for that."""

WHERE_TO_BEGIN = "set all values at once: type ponikeeper put, or put to Poni, Request or the Stage: PVs"

UNWATCHED = "no links are configured: nothing checks this geometry"

_OUT_OF_SERVICE = "every link is out of service: nothing checks this geometry"

_RECORD = "move the links to where revision {} was calibrated, then put 1 to RecordPosition"


def findings_about(
    revision: Revision | None,
    corrections: Sequence[Correction],
    links: Sequence[LinkState],
    instant: str | None = None,
    extrapolate: bool | None = None,
) -> tuple[Finding, ...]:
    """Find every reason against a revision.

    Parameters
    ----------
    revision
        The revision, None if nothing was ever committed.
    corrections
        All corrections of the detector's revisions.
    links
        The links, compared with this revision.
    instant
        The time in question, UTC ISO 8601, for corrections that cover a limited time; None is now.
    extrapolate
        Whether the configuration allows to use a model farther outside of its range; None where that is not known:
        where the active geometry was computed it was allowed.

    Returns
    -------
    tuple of Finding
        The first one decides the status.
    """
    if revision is None:
        return (Finding(Status.UNSET, "", f"no geometry was ever committed: {WHERE_TO_BEGIN}", WHERE_TO_BEGIN),)
    used = in_service(links)
    findings = [finding for link in used for finding in _link_findings(link, revision)]
    findings += [
        Finding(Status.VALID, link.name, f"{link} is {link.out_of_service}", "") for link in links if link not in used
    ]
    if revision.position is None and not all(measures_beam(link) for link in used):  # those have the wavelength
        text = f"the position of revision {revision.number} was never recorded"
        findings.insert(0, Finding(Status.UNKNOWN, "", text, _RECORD.format(revision.number)))
    if not used:
        text = _OUT_OF_SERVICE if links else UNWATCHED
        findings.append(Finding(Status.UNWATCHED, "", text, "check that the detector is where it was calibrated"))
    findings += _correction_findings(revision, corrections, instant) + _file_findings(revision)
    findings += model_findings(revision, corrections, links, instant, extrapolate)
    return tuple(sorted(findings, key=lambda finding: PRECEDENCE.index(finding.status)))


def status_of(findings: Sequence[Finding]) -> Status:
    """Return the status that findings lead to; VALID if there are none."""
    return findings[0].status if findings else Status.VALID


def advice_of(findings: Sequence[Finding]) -> str:
    """Return what an operator should do now, in ASCII; empty if there are no findings."""
    return to_ascii(findings[0].advice) if findings else ""


def reason_of(findings: Sequence[Finding]) -> str:
    """Format all findings as one ASCII text that is short enough for a snapshot.

    Parameters
    ----------
    findings
        In their order.

    Returns
    -------
    str
    """
    listed, left_out = [*findings], 0
    text = _joined(listed, left_out)
    while len(strictjson.dumps(text)) > MAX_REASON and any(finding.link for finding in listed):
        listed.remove([finding for finding in listed if finding.link][-1])  # those about the revision stay
        left_out += 1
        text = _joined(listed, left_out)
    return cut(text, MAX_REASON)


def _joined(findings: Sequence[Finding], left_out: int) -> str:
    more = [f"and {left_out} more links"] if left_out else []
    return to_ascii("; ".join([*(finding.text for finding in findings), *more]))


def _correction_findings(revision: Revision, corrections: Sequence[Correction], instant: str | None) -> list[Finding]:
    """Follow the corrections of a revision to the revision that is right now, if there is one."""
    steps = chain(corrections, revision.number, instant)
    if not steps:
        return []
    text = "; ".join(f"revision {step.revision} was {describe_correction(step)}" for step in steps)
    right = steps[-1].by
    if right is None:
        return [Finding(Status.RETRACTED, "", text, "activate a revision that is right, or calibrate")]
    return [Finding(Status.SUPERSEDED, "", text, f"put {right} to Activate, which replaces it, or calibrate")]


def _file_findings(revision: Revision) -> list[Finding]:
    """Mention the files that a revision of an older version names without their SHA-256; now they are refused."""
    problems = missing_hashes(revision.geometry, files_of(revision.provenance))
    return [Finding(Status.VALID, "", f"revision {revision.number}: {problem}", "") for problem in problems]


def _link_findings(link: LinkState, revision: Revision) -> list[Finding]:
    """Find every reason that one link gives against a revision."""
    findings: list[Finding] = []
    recorded = calibrated_value(link, revision.position)
    by_wavelength = recorded is None and measures_beam(link)
    if revision.position is not None and recorded is None and not by_wavelength:
        findings.append(_not_recorded(link, revision))
    if link.moving and link.connected and link.value is not None:
        findings.append(Finding(Status.MOVING, link.name, f"{link} is moving", f"wait until {link} is at rest"))
    elif link.unknown_because:
        advice = f"check {link.pv}: it must be connected and have a number{link.units and f' in {link.units}'}"
        findings.append(Finding(Status.UNKNOWN, link.name, link.unknown_because, advice))
    elif link.within is False:
        reference = nominal_value(link, revision.geometry.wavelength) if recorded is None else recorded
        findings.append(_off(link, reference, revision, by_wavelength=by_wavelength))
    elif contradicts_wavelength(link, revision.geometry.wavelength):
        findings.append(_mismatch(link, nominal_value(link, revision.geometry.wavelength)))
    return findings


def _not_recorded(link: LinkState, revision: Revision) -> Finding:
    recorded = (revision.position or {}).get(link.name)
    text = f"{link} was not recorded for revision {revision.number}"
    if recorded is not None:
        text = f"{link} was recorded in {recorded['units'] or 'no units'}, the configuration has {link.units or 'none'}"
    return Finding(Status.UNKNOWN, link.name, text, _RECORD.format(revision.number))


def _off(link: LinkState, reference: float | None, revision: Revision, *, by_wavelength: bool) -> Finding:
    """Describe a link that is not where it should be."""
    assert link.value is not None  # or `within` would be None
    assert reference is not None
    status = Status.MISMATCH if by_wavelength else Status.MOVED
    value, expected = quantity(link.value, link.units), quantity(reference, link.units)
    if is_within(link, link.value, reference):
        text = f"{link} is back at {value}, not for long enough yet"
        return Finding(status, link.name, text, f"wait until {link} is at rest")
    if by_wavelength:
        text = f"{link} is at {value}, the wavelength corresponds to {expected}, {_tolerance(link)}"
        return Finding(status, link.name, text, _correct_wavelength(link))
    if is_model(revision):
        text = f"{link} is at {value}, the geometry is that of {expected}, {_tolerance(link)}"
        return Finding(status, link.name, text, f"move {link.pv} to {expected}, or calibrate")
    text = f"{link} is at {value}, calibrated at {expected}, {_tolerance(link)}"
    advice = f"move {link.pv} to {expected}, activate the revision of this position, or calibrate"
    if is_edited(revision):
        advice = (
            f"if revision {revision.number}, edited by hand, holds where the links are now, put 1 to RecordPosition; "
            f"otherwise {advice}"
        )
    return Finding(status, link.name, text, advice)


def _mismatch(link: LinkState, nominal: float | None) -> Finding:
    """Describe a link that contradicts the wavelength although it is where it was when that was recorded."""
    assert link.value is not None
    assert nominal is not None
    assert link.mismatch is not None
    value, expected = quantity(link.value, link.units), quantity(nominal, link.units)
    text = f"{link} is at {value}, the wavelength corresponds to {expected}, more than {link.mismatch:.4g} relative"
    return Finding(Status.MISMATCH, link.name, text, _correct_wavelength(link))


def _correct_wavelength(link: LinkState) -> str:
    return f"correct the wavelength of the geometry, or {link.pv}"


def _tolerance(link: LinkState) -> str:
    if link.tolerance is None:
        return "any change counts"
    relative = " relative" if kind_of(link).is_relative else f" {link.units}"
    return f"tolerance {link.tolerance:g}{relative}"
