"""Which revision is right for a given time, with all later corrections. Pure.

The latest correction that covers a time decides for it. A superseded revision leads to the one that
replaces it, which may have been corrected itself.
"""

from collections.abc import Sequence
from datetime import timedelta

from ponikeeper.history.records import Correction
from ponikeeper.text.timestamps import to_datetime

_SKEW = timedelta(seconds=60)
"""How far the clock of the host that sent a correction may be ahead of this one."""


def correction_of(corrections: Sequence[Correction], revision: int, instant: str | None = None) -> Correction | None:
    """Return the correction that decides on a revision.

    Parameters
    ----------
    corrections
        All of one detector, in their order.
    revision
        Number of the revision.
    instant
        The time in question, UTC ISO 8601; None is now.

    Returns
    -------
    Correction or None
        None where the revision is right.
    """
    covering = (item for item in reversed(corrections) if item.revision == revision and covers(item, instant))
    return next(covering, None)


def covers(correction: Correction, instant: str | None = None) -> bool:
    """Return whether a correction covers a time: from `since` on and before `until`.

    Parameters
    ----------
    correction
        The correction.
    instant
        The time in question, UTC ISO 8601; None is now.

    Returns
    -------
    bool
        Whether it covers the time.
    """
    if instant is None:  # neither may lie in the future
        return correction.until is None
    time = to_datetime(instant)
    if correction.since is not None and time < to_datetime(correction.since):
        return False
    return correction.until is None or time < to_datetime(correction.until)


def chain(corrections: Sequence[Correction], revision: int, instant: str | None = None) -> list[Correction]:
    """Return the corrections that lead from a revision to the right one; a cycle ends them, too.

    Parameters
    ----------
    corrections
        All of one detector, in their order.
    revision
        Number of the revision to begin with.
    instant
        The time in question, UTC ISO 8601; None is now.

    Returns
    -------
    list of Correction
        The right revision is `by` of the last one, or `revision` itself where the list is empty; after a
        retraction there is none.
    """
    steps: list[Correction] = []
    while (correction := correction_of(corrections, revision, instant)) is not None:
        if correction in steps:
            break
        steps.append(correction)
        if correction.by is None:
            break
        revision = correction.by
    return steps


def corrected_revisions(corrections: Sequence[Correction]) -> frozenset[int]:
    """Return the numbers of the revisions that are wrong now.

    Parameters
    ----------
    corrections
        All of one detector, in their order.

    Returns
    -------
    frozenset of int
        Numbers of superseded and retracted revisions.
    """
    return frozenset(item.revision for item in corrections if correction_of(corrections, item.revision) is not None)


def describe_correction(correction: Correction) -> str:
    """Format a correction: ``superseded by revision 15: wavelength typed wrong``."""
    what = "retracted" if correction.by is None else f"superseded by revision {correction.by}"
    return f"{what}: {correction.reason}"


def correction_text(correction: Correction) -> str:
    """Format a correction: which revision, how, for which time, why, by whom and when."""
    how = "retracted" if correction.by is None else f"superseded by revision {correction.by}"
    period = "".join(
        f" {word} {timestamp}"
        for word, timestamp in (("from", correction.since), ("until", correction.until))
        if timestamp is not None
    )
    signature = f"{correction.author}, {correction.time}"
    return f"revision {correction.revision} {how}{period}: {correction.reason} [{signature}]"


def correction_problems(corrections: Sequence[Correction], correction: Correction, count: int, now: str) -> list[str]:
    """Check a correction before it is stored.

    Parameters
    ----------
    corrections
        All of the detector until now, in their order.
    correction
        The new correction.
    count
        Number of revisions of the detector.
    now
        The current time, UTC ISO 8601; corrections cover the past only.

    Returns
    -------
    list of str
        Every problem; empty where the correction can be stored.
    """
    known = f"the history has revisions 1 to {count}" if count else "the history has no revisions"
    named = [number for number in (correction.revision, correction.by) if number is not None]
    problems = [f"there is no revision {number}: {known}" for number in named if number > count]
    if correction.by == correction.revision:
        problems.append(
            f"revision {correction.revision} cannot supersede itself: commit the right one first, then give its number"
        )
    instants = {
        name: text for name, text in (("since", correction.since), ("until", correction.until)) if text is not None
    }
    problems += [
        f'"{name}": {text} is in the future: expected a time before {now}'
        for name, text in instants.items()
        if to_datetime(text) > to_datetime(now) + _SKEW
    ]
    if len(instants) == 2 and to_datetime(instants["since"]) >= to_datetime(instants["until"]):
        problems.append(
            f'"since" {correction.since} is not before "until" {correction.until}: expected the earlier one first'
        )
    return problems or _dead_end(corrections, correction)


def _dead_end(corrections: Sequence[Correction], correction: Correction) -> list[str]:
    """Check that the replacing revision leads to a right one at all times."""
    later = [*corrections, correction]
    # nothing changes between these times; the first one represents all times before the others
    edges = {text for item in later for text in (item.since, item.until) if text is not None}
    for instant in sorted({"0001-01-01T00:00:00Z", *edges}, key=to_datetime):
        if not covers(correction, instant) or correction.by is None:
            continue
        path = chain(later, correction.by, instant)
        if correction in path:
            steps = " ".join(f"{item.revision} by {item.by}," for item in path if item is not correction)
            return [
                f"revision {correction.revision} cannot be superseded by {correction.by}, which leads back to it "
                f"({steps[:-1]}): commit the right geometry once more, and give the number of that revision"
            ]
        if path and path[-1].by is None:
            return [f"revision {path[-1].revision} was retracted ({path[-1].reason}): expected one that is right"]
    return []
