"""Find what is known now of a recorded geometry, by the corrections in its history.

The revision is found by its uid, never by its number alone: a store that was created again counts from
1 again, and there the same number is another geometry.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

from ponikeeper.errors import GeometryError, ModelError, NoGeometryError
from ponikeeper.geometry.files import files_of
from ponikeeper.geometry.kinematics import Reach
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import chain
from ponikeeper.history.labels import label_of
from ponikeeper.protocol.integration import integration_of
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.models import model_of
from ponikeeper.text.timestamps import from_posix, to_datetime
from ponikeeper_client.documents import applicability
from ponikeeper_client.recall._frames import completed, is_of_frames
from ponikeeper_client.recall._histories import Histories, History, read_histories
from ponikeeper_client.recall._lookup import Lookup
from ponikeeper_client.recall._models import Computed, computed_at, joints_at, verified_model
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._runs import Event
from ponikeeper_client.recall._values import BestKnown, Geometries, Recorded

Chain = tuple[Correction, ...]


def best_known(
    run: Any,
    detector: str | None = None,
    stream: str | None = None,
    *,
    revision: int | None = None,
    history: Histories | None = None,
    timeout: float = 5.0,
) -> Geometries[BestKnown]:
    """Return what is known now of every geometry that a run recorded, with the corrections made since.

    A correction that is limited in time counts for an event by the event's own time, which is that of
    its document: the end of its exposure. Where it splits the events of one descriptor, the result has
    several parts.

    Parameters
    ----------
    run, detector, stream
        As for `recorded`; also the path of an image file.
    revision
        Number of a revision to use instead of the recorded one, such as one that was calibrated where the links
        were. Its corrections are not followed; they count for its status.
    history
        Exported histories, their files, or a mirror in Tiled (its address or client). If omitted, the IOC is asked, by
        the prefix that the run recorded; where it does not answer or does not have the revision, the mirror that the
        environment variable ``PONIKEEPER_MIRROR`` names. Of several exports of one store the longest is used; it has no
        corrections that were made after the export.
    timeout
        How long the IOC may take to answer (s).

    Returns
    -------
    Geometries of BestKnown
        In the order of `recorded`, each with its status where the links of the run were.

    Raises
    ------
    NoGeometryError
        As `recorded`; or the IOC, or the exports, do not have the revision that the run recorded, or `revision`.
        A different revision with the same number is never used instead.
    NotConnectedError
        The IOC does not answer, and there is no mirror that has the revision.
    HistoryError
        An export, or the answer of the IOC, is damaged.

    Examples
    --------
    >>> best_known(catalog[uid])
    pe1: primary 1-4: revision 15 near VALID (recorded: revision 12 near VALID; revision 12 superseded by ...)
    >>> best_known(catalog[uid], history="pe1.jsonl")  # without the IOC
    """
    records = recorded(run, detector, stream)
    prefixes = [record.prefix for record in records]
    lookup = Lookup(None if history is None else read_histories(history, prefixes), timeout)
    records = Geometries(completed(one, lookup.of(one)) if is_of_frames(one) else one for one in records)
    results: list[BestKnown] = []
    for record in records:
        if revision is not None and record.revision is None:
            raise NoGeometryError(
                f"{record.detector} {record.scope}: the run recorded no revision, so it is not known of which history "
                f"revision {revision} would be"
            )
        if revision is not None:
            results += use_revision(record, revision, lookup.of(record))
        elif record.revision is None:
            results.append(as_recorded(record))
        else:
            results += apply_corrections(record, lookup.of(record))
    return Geometries(results)


def as_recorded(recorded: Recorded) -> BestKnown:
    """Return a geometry without a revision as it was recorded: it cannot have been corrected."""
    reason = recorded.reason
    if recorded.geometry is not None:
        reason = "the run recorded no revision, so there can be no correction: as it was recorded"
    return BestKnown(
        recorded=recorded,
        geometry=recorded.geometry,
        files=recorded.files,
        covariance=recorded.covariance,
        valid_within=recorded.valid_within,
        integration=recorded.integration,
        reason=reason,
        applicability=recorded.applicability,
        authority="the run",
    )


def apply_corrections(recorded: Recorded, history: History) -> list[BestKnown]:
    """Apply the corrections of a history to a recorded geometry, for each of its events.

    Parameters
    ----------
    recorded
        A record with a revision.
    history
        The history of its detector.

    Returns
    -------
    list of BestKnown
        One where the same corrections apply to all events; otherwise the events in parts, in their order.

    Raises
    ------
    NoGeometryError
        The history does not have the revision that the run recorded.
    """
    revision = verified_revision(recorded, history)
    corrections = history.corrections()
    if any(event.time is None for event in recorded.events) or not recorded.events:
        return [_without_times(recorded, revision, corrections, history)]
    return [
        _corrected(replace(recorded, events=events), revision, steps, history, from_posix(events[0].time or 0.0))
        for steps, events in _parts(recorded, corrections, revision.number)
    ]


def use_revision(recorded: Recorded, number: int, history: History) -> list[BestKnown]:
    """Use a revision of a history in place of a recorded geometry.

    Parameters
    ----------
    recorded
        A record with a revision.
    number
        Number of the revision to use.
    history
        The history of its detector.

    Returns
    -------
    list of BestKnown
        One where the same corrections of the revision count for all events; otherwise the events in parts.

    Raises
    ------
    NoGeometryError
        The history does not have one of the two revisions.
    """
    own = verified_revision(recorded, history)
    revision = own if number == own.number else history.revision(number)
    if revision is None:
        raise NoGeometryError(f"{recorded.detector} {recorded.scope}: {history.authority} has no revision {number}")
    corrections = history.corrections()
    if any(event.time is None for event in recorded.events) or not recorded.events:
        instants = _instants(recorded, corrections)
        results = [_result(recorded, own, revision, (), history, instant) for instant in instants]
        return [next((result for result in results if not result.applicability.permits_use), results[0])]
    return [
        _result(replace(recorded, events=events), own, revision, (), history, from_posix(events[0].time or 0.0))
        for _, events in _parts(recorded, corrections, number)
    ]


def _parts(
    recorded: Recorded, corrections: Sequence[Correction], number: int
) -> Iterator[tuple[Chain, tuple[Event, ...]]]:
    """Yield the corrections of a revision for each part of the events, which have times."""

    def steps(event: Event) -> Chain:
        return tuple(chain(corrections, number, from_posix(event.time or 0.0)))

    for path, events in groupby(recorded.events, steps):
        yield path, tuple(events)


def verified_revision(recorded: Recorded, history: History) -> Revision:
    """Return the revision that a run recorded, verified by uid and checksum; a model with what it gave then.

    Parameters
    ----------
    recorded
        A record with a revision.
    history
        The history of its detector.

    Returns
    -------
    Revision

    Raises
    ------
    NoGeometryError
        The history does not have it, or has another one under its number or its uid.
    """
    number = recorded.revision or 0
    where = f"{recorded.detector} {recorded.scope}"
    advice = "give the exported history that has it: best_known(run, history=...)"
    revision = history.revision(number)
    if revision is None:
        raise NoGeometryError(
            f"{where}: {history.authority} has no revision {number} (was the store created again?): {advice}"
        )
    if revision.uid != recorded.uid:
        raise NoGeometryError(
            f"{where}: revision {number} of {history.authority} has the uid {revision.uid}, the run recorded "
            f"{recorded.uid}: it is another geometry of the same number, the store was created again; {advice}"
        )
    wrong = "checksum differs" if revision.checksum != recorded.checksum else ""
    if not wrong and is_model(revision):
        try:
            return verified_model(recorded, revision, history.derived(recorded.serial or 0))
        except (GeometryError, ModelError) as error:
            wrong = str(error)
    if recorded.geometry not in (None, revision.geometry):
        wrong = wrong or "geometry differs"
    if wrong:
        raise NoGeometryError(
            f"{where}: revision {number} of {history.authority} is not what the run recorded under the same uid "
            f"({wrong}): one of them was changed; {advice}"
        )
    return revision


def _without_times(
    recorded: Recorded, revision: Revision, corrections: Sequence[Correction], history: History
) -> BestKnown:
    """Correct events whose own times are unknown, if the result is the same for the whole time that they cover."""
    chains = [
        (instant, tuple(chain(corrections, revision.number, instant))) for instant in _instants(recorded, corrections)
    ]
    first = chains[0][1]
    others = [(instant, steps) for instant, steps in chains if _right(steps, revision) != _right(first, revision)]
    if not others:
        return _corrected(recorded, revision, first, history, chains[0][0])
    instant, steps = others[0]
    until = "on" if recorded.ends is None else f"to {from_posix(recorded.ends)}"
    reason = (
        f"the times of its events are not recorded, only that they are from {from_posix(recorded.begins)} {until}; a "
        f"correction applies to only one side of {instant}, and it is unknown on which side the events are"
    )
    return BestKnown(recorded=recorded, geometry=None, reason=reason, chain=steps or first, authority=history.authority)


def _instants(recorded: Recorded, corrections: Sequence[Correction]) -> list[str]:
    """Return one instant of each part of the covered time within which the same corrections apply."""
    begins, ends = from_posix(recorded.begins), None if recorded.ends is None else from_posix(recorded.ends)
    limits = {limit for item in corrections for limit in (item.since, item.until) if limit is not None}
    inside = [
        limit
        for limit in sorted(limits, key=to_datetime)
        if _before(begins, limit) and (ends is None or not _before(ends, limit))
    ]
    return [begins, *inside]


def _before(one: str, other: str) -> bool:
    return to_datetime(one) < to_datetime(other)


def _right(steps: Chain, revision: Revision) -> int | None:
    """Return the number of the right revision; None where there is none."""
    return steps[-1].by if steps else revision.number


def _corrected(recorded: Recorded, revision: Revision, steps: Chain, history: History, instant: str) -> BestKnown:
    number = _right(steps, revision)
    if number is None:
        last = steps[-1]
        reason = f"revision {last.revision} was retracted: {last.reason} [{last.author}, {last.time}]"
        return BestKnown(recorded=recorded, geometry=None, reason=reason, chain=steps, authority=history.authority)
    right = revision if number == revision.number else history.revision(number)
    if right is None or any(item.revision == number for item in steps):
        reason = (
            f"the corrections lead to revision {number}, which {history.authority} does not have, or has a correction "
            "for, too"
        )
        return BestKnown(recorded=recorded, geometry=None, reason=reason, chain=steps, authority=history.authority)
    return _result(recorded, revision, right, steps, history, instant)


def _result(
    recorded: Recorded, own: Revision, revision: Revision, steps: Chain, history: History, instant: str
) -> BestKnown:
    """Return a revision as the right one for some events, with its status at their time; `own` is the recorded one."""
    corrections, reason, computed = history.corrections(), "", None
    if recorded.geometry is None and recorded.model is not None:
        reason = recorded.reason  # of another position than the recorded one
    elif is_model(revision) and revision.number != own.number:
        computed, reason = _computed(recorded, own, revision)
    right = revision if computed is None else computed.revision
    status = applicability(recorded.record, own, right, corrections, instant)
    return BestKnown(
        recorded=recorded,
        geometry=None if reason else right.geometry,
        reason=reason,
        revision=revision.number,
        uid=revision.uid,
        checksum=revision.checksum,
        label=label_of(revision, history.labels()),
        files=files_of(revision.provenance),
        covariance=cast("Mapping[str, Any] | None", right.provenance.get("covariance")),
        valid_within=cast("Mapping[str, float] | None", right.provenance.get("valid_within")),
        integration=integration_of(revision.provenance),
        computed="" if computed is None else computed.text,
        applicability=status if computed is None else computed.applied_to(status),
        chain=steps,
        authority=history.authority,
    )


def _computed(recorded: Recorded, own: Revision, revision: Revision) -> tuple[Computed | None, str]:
    """Compute what another model gives where the links of a run were; or the reason why it gives nothing."""
    model = model_of(revision)
    assert model is not None
    links = recorded.record.links or ()
    known = {link.name: {"value": link.value, "units": link.units} for link in links if link.value is not None}
    values = joints_at(model, {**(own.position or {}), **known} if recorded.model is None else own.position)
    if values is None:
        names = ", ".join(joint.link for joint in model.joints)
        return None, f"revision {revision.number} is a model of {names}, and the run did not record where that was"
    found = computed_at(revision, values, Reach.MARGIN, {})
    return (found, "") if found.evaluation is not None else (None, found.problem)
