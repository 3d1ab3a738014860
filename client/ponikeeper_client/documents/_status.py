"""Compute whether a recorded geometry, or another revision, applies where the links of a run were. Pure."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ponikeeper.errors import NotValidError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import Files
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import chain
from ponikeeper.protocol import LinkState, Status, applies
from ponikeeper.protocol.findings import findings_about, reason_of, status_of
from ponikeeper.protocol.link_values import compared
from ponikeeper.protocol.links import in_service
from ponikeeper.text.strictjson import plain

NOT_RECORDED = "not recorded"
"""Status of a geometry of a run that recorded none, such as those of xpdAcq."""

_CONDEMNED = "CONDEMNED"
"""What runs before 0.2 recorded for SUPERSEDED and RETRACTED."""

_CORRECTED = (Status.SUPERSEDED, Status.RETRACTED)
_OTHER_REVISION = "revision=N returns one that was calibrated where the links were"
_REMEDIES = {
    "SUPERSEDED": "best=True, or best_known(run), returns the revision that replaces it",
    _CONDEMNED: "best=True, or best_known(run), returns the revision that replaces it, if there is one",
    "RETRACTED": "no revision replaces it: revision=N returns one that you know to be right",
    "MOVING": "take the run again with the links at rest",
    "MOVED": _OTHER_REVISION,
    "MISMATCH": "revision=N returns one with the right wavelength",
    "UNKNOWN": "find out where the links were",
    "OUT_OF_RANGE": "revision=N returns one that was calibrated there, or a model that holds there",
}
_FIT_AGAIN = (
    "fit the model again without it (ponikeeper model fit), and supersede revision {} by the new one: best=True then "
    "computes with that"
)
"""What helps where a member of a model was corrected."""

_ALL_THE_SAME = "any_status=True returns it all the same"

log = logging.getLogger("ponikeeper_client.recall")


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """What a run recorded of the status of its geometry.

    Parameters
    ----------
    name
        Name of the status; None where the run has none.
    reason
        Why.
    links
        The links when the status was decided; None where they are not known.
    """

    name: str | None = None
    reason: str = ""
    links: tuple[LinkState, ...] | None = None

    def at_event(self, name: str, reason: str) -> "StatusRecord":
        """Return the record of an event that has a status of its own; the links were read before it.

        Where that status permits the use, the links were at the recorded position, otherwise it is not known where.
        UNWATCHED says nothing of the links: they were taken out of service meanwhile.

        Parameters
        ----------
        name, reason
            The status of the event.

        Returns
        -------
        StatusRecord
            This one where the status is the same.
        """
        if name == self.name:
            return self
        proven = applies(name) and name != Status.UNWATCHED.name
        at_position = self.links if self.links is not None and proven else None
        return StatusRecord(name, reason, None if at_position is None else tuple(map(_at_position, at_position)))


@dataclass(frozen=True, slots=True)
class Applicability:
    """Whether a geometry of a run applies.

    Parameters
    ----------
    status
        Name of the status, `NOT_RECORDED` where the run recorded none.
    reason
        Why.
    links
        The links as the run recorded them, compared with this geometry; None where they are not known.
    remedy
        What to do where it does not apply; empty for what usually helps with this status.
    """

    status: str = NOT_RECORDED
    reason: str = ""
    links: tuple[LinkState, ...] | None = None
    remedy: str = ""

    @property
    def permits_use(self) -> bool:
        """Whether the geometry may be used; one without a recorded status may, with a warning."""
        return self.status == NOT_RECORDED or applies(self.status)

    def require(self, geometry: str) -> None:
        """Check that the geometry may be used, and log what its user should know.

        Parameters
        ----------
        geometry
            Which one, for the message.

        Raises
        ------
        NotValidError
            It does not apply.
        """
        if not self.permits_use:
            remedy = self.remedy or _REMEDIES.get(self.status)
            remedies = _ALL_THE_SAME if remedy is None else f"{remedy}; {_ALL_THE_SAME}"
            raise NotValidError(geometry, self.status, self.reason, remedies)
        if self.status == NOT_RECORDED:
            warn_once(f"{geometry}: the run recorded no status, so it is not known whether the geometry applies")
        elif self.status == Status.UNCERTAIN.name:
            warn_once(f"{geometry}: the status is {self.status}: {self.reason}")


@lru_cache(maxsize=4096)
def warn_once(message: str) -> None:
    """Log a warning, each text once.

    Parameters
    ----------
    message
        The text.
    """
    log.warning("%s", message)


def recorded_applicability(record: StatusRecord, geometry: Geometry | None, number: int, files: Files) -> Applicability:
    """Compute whether a geometry applied when it was recorded.

    Parameters
    ----------
    record
        What the run recorded of its status.
    geometry
        The recorded geometry; None where there is none.
    number
        Number of its revision.
    files
        Path and SHA-256 of its files.

    Returns
    -------
    Applicability
        The recorded status; where it permits the use but the recorded links do not, that of the links.
    """
    if record.name is None:
        return Applicability()
    name, reason, links = record.name, record.reason, record.links
    if name == _CONDEMNED:
        reason = f"revision {number} was superseded or retracted"
    if links is None or geometry is None or not applies(name):
        return Applicability(name, reason, links)
    position = {
        link.name: {"value": link.calibrated, "units": link.units} for link in links if link.calibrated is not None
    }
    revision = Revision(number, "", "", None, geometry, position, {"files": files}, "")
    findings = findings_about(revision, (), links)
    computed = Applicability(status_of(findings).name, reason_of(findings), links)
    return Applicability(name, reason, links) if computed.permits_use else computed


def applicability(
    record: StatusRecord, recorded: Revision, revision: Revision, corrections: Sequence[Correction], instant: str | None
) -> Applicability:
    """Compute whether a revision applies where the links of a run were.

    Parameters
    ----------
    record
        What the run recorded of the status of its own geometry.
    recorded
        The recorded revision, as the history has it.
    revision
        The revision in question.
    corrections
        All corrections of the detector.
    instant
        The time of the events, UTC ISO 8601, for corrections that cover a limited time.

    Returns
    -------
    Applicability
        Status and reason by the recorded links. Where these are not known, as before 0.2, the recorded status
        counts for the recorded revision, and for one of the same position that its corrections lead to.
    """
    if record.name is None:
        return Applicability()
    if record.name not in Status.__members__ and record.name != _CONDEMNED:
        return Applicability(record.name, record.reason, record.links)
    if record.links is None:
        return _without_links(record, recorded, revision, corrections, instant)
    own = revision.number == recorded.number
    links = record.links
    if not own:
        links = tuple(compared(link, revision.position, revision.geometry.wavelength) for link in links)
    findings = findings_about(revision, corrections, links, instant)
    computed = Applicability(status_of(findings).name, reason_of(findings), links)
    if computed.status == Status.RETRACTED.name and not chain(corrections, revision.number, instant):
        computed = replace(computed, remedy=_FIT_AGAIN.format(revision.number))
    if not computed.permits_use:
        return computed
    if own:
        word = replace(computed, status=record.name, reason=_recorded_reason(record))
        return computed if applies(record.name) else word
    missing = _links_not_recorded(revision, links)
    return replace(computed, status=Status.UNKNOWN.name, reason=missing) if missing else computed


def _recorded_reason(record: StatusRecord) -> str:
    """Return the recorded reason; of a correction that the history does not have for that time, with that remark."""
    if record.name not in [status.name for status in _CORRECTED]:
        return record.reason
    return f"{record.reason or record.name}, as the run recorded; the history has no such correction for its time"


def _links_not_recorded(revision: Revision, links: Sequence[LinkState]) -> str:
    """Return which links of the position of a revision a run did not record, though it did record others."""
    known = {link.name for link in links}
    missing = [name for name in revision.position or {} if name not in known]
    if not missing or not in_service(links):  # without links nothing checks the geometry: it is UNWATCHED
        return ""
    return f"the run did not record {', '.join(missing)}, for which revision {revision.number} was calibrated"


def _at_position(link: LinkState) -> LinkState:
    value = link.value if link.calibrated is None else link.calibrated
    return replace(link, value=value, moving=False, connected=True, within=True, error=None)


def _without_links(
    record: StatusRecord, recorded: Revision, revision: Revision, corrections: Sequence[Correction], instant: str | None
) -> Applicability:
    corrected = [one for one in findings_about(revision, corrections, (), instant) if one.status in _CORRECTED]
    if corrected:
        return Applicability(corrected[0].status.name, reason_of(corrected))
    assert record.name is not None
    if revision.number == recorded.number and record.name != _CONDEMNED:
        return Applicability(record.name, _recorded_reason(record))
    steps = chain(corrections, recorded.number, instant)
    is_replacement = bool(steps) and steps[-1].by == revision.number
    if is_replacement and applies(record.name) and plain(revision.position) == plain(recorded.position):
        return Applicability(record.name, record.reason)
    reason = f"the run recorded {record.name}, but not where the links were when revision {revision.number} was needed"
    return Applicability(Status.UNKNOWN.name, reason)
