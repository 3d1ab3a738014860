"""What is to be thought of the geometry in force: decided of what is known, with all that speaks against it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ponikeeper.detector.commit_rules import MAX_REASON, WHERE_TO_BEGIN
from ponikeeper.detector.link_rules import calibrated_value, quantity
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, told
from ponikeeper.protocol import LinkState, is_within, measures_beam, nominal_value
from ponikeeper.protocol.links import kind_of
from ponikeeper.protocol.pvs import Status
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import to_ascii

PRECEDENCE = (Status.UNSET, Status.UNKNOWN, Status.CONDEMNED, Status.MOVING, Status.MOVED, Status.MISMATCH)
"""Which status is shown where several apply; none of them is VALID."""

_CUT = "..."
_LONGEST = 6
"""Of what JSON makes of one character."""

UNWATCHED = "nothing watches this geometry: the configuration has no links"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that speaks against the geometry in force.

    Parameters
    ----------
    link
        Name of the link that it is about; empty if it is about the revision itself.
    """

    status: Status
    link: str
    text: str


def findings_about(
    revision: Revision | None, corrections: Sequence[Correction], links: Sequence[LinkState]
) -> tuple[Finding, ...]:
    """Find all that speaks against the revision in force, the gravest first.

    Parameters
    ----------
    revision
        None where no geometry was ever committed.
    judgements
        All of the detector's.
    links
        As they stand now, beside where they stood for this revision.
    """
    if revision is None:
        return (Finding(Status.UNSET, "", f"no geometry was ever committed: {WHERE_TO_BEGIN}"),)
    found = [finding for link in links for finding in _of_link(link, revision)]
    if links and revision.position is None:
        text = f"where the links stood for revision {revision.number} was never recorded: put Here where it holds"
        found.insert(0, Finding(Status.UNKNOWN, "", text))
    correction = correction_of(corrections, revision.number)
    if correction is not None:
        found.append(Finding(Status.CONDEMNED, "", f"revision {revision.number} was {told(correction)}"))
    return tuple(sorted(found, key=lambda finding: PRECEDENCE.index(finding.status)))


def status_of(found: Sequence[Finding]) -> Status:
    """Give the gravest status; VALID where nothing was found."""
    return found[0].status if found else Status.VALID


def reason_of(found: Sequence[Finding], *, watched: bool) -> str:
    """List all that was found, in ASCII and short enough for a snapshot."""
    general = [] if watched or status_of(found) is Status.UNSET else [UNWATCHED]
    shown, left_out = [*found], 0
    text = _joined([finding.text for finding in shown], general, left_out)
    while len(strictjson.dumps(text)) > MAX_REASON and any(finding.link for finding in shown):
        shown.remove([finding for finding in shown if finding.link][-1])  # what concerns all of it stays
        left_out += 1
        text = _joined([finding.text for finding in shown], general, left_out)
    while (excess := len(strictjson.dumps(text)) - MAX_REASON) > 0:
        text = text[: -len(_CUT) - excess // _LONGEST - 1] + _CUT
    return text


def _joined(texts: Sequence[str], general: Sequence[str], left_out: int) -> str:
    more = [f"and of {left_out} more links"] if left_out else []
    return to_ascii("; ".join([*texts, *more, *general]))


def _of_link(link: LinkState, revision: Revision) -> list[Finding]:
    """Judge one link."""
    found: list[Finding] = []
    recorded = calibrated_value(link, revision.position)
    by_wavelength = recorded is None and measures_beam(link)
    if revision.position is not None and recorded is None and not by_wavelength:
        found.append(Finding(Status.UNKNOWN, link.name, _never_recorded(link, revision)))
    if link.moving and link.connected and link.value is not None:
        found.append(Finding(Status.MOVING, link.name, f"{link.name} is in motion"))
    elif link.doubt:
        found.append(Finding(Status.UNKNOWN, link.name, link.doubt))
    elif link.within is False:
        reference = nominal_value(link, revision.geometry.wavelength) if recorded is None else recorded
        status = Status.MISMATCH if by_wavelength else Status.MOVED
        found.append(Finding(status, link.name, _apart(link, reference, by_wavelength=by_wavelength)))
    return found


def _never_recorded(link: LinkState, revision: Revision) -> str:
    stood = (revision.position or {}).get(link.name)
    if stood is None:
        return f"{link.name} was not recorded for revision {revision.number}: put Here where it holds"
    return f"{link.name} was recorded in {stood['units'] or 'no units'}, the configuration says {link.units or 'none'}"


def _apart(link: LinkState, reference: float | None, *, by_wavelength: bool) -> str:
    """Say how far a link is from where it should be."""
    assert link.value is not None  # or it would not be known to be beyond
    assert reference is not None
    stands = f"{link.name} is at {quantity(link.value, link.units)}"
    if is_within(link, link.value, reference):
        return f"{stands} again, not for long enough yet"
    should = "the wavelength stands for" if by_wavelength else "calibrated at"
    return f"{stands}, {should} {quantity(reference, link.units)}, {_tolerance(link)}"


def _tolerance(link: LinkState) -> str:
    if link.tolerance is None:
        return "any change counts"
    relative = " relative" if kind_of(link).is_relative else f" {link.units}"
    return f"tolerance {link.tolerance:g}{relative}"
