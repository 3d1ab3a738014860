"""Which revision is right for an instant, after what was found out later: pure.

The last judgement that covers an instant decides for it. A superseded revision leads on to the one
that replaces it, which may have been judged itself.
"""

from collections.abc import Sequence
from datetime import timedelta

from ponikeeper.history.records import Correction
from ponikeeper.text.timestamps import to_datetime

_SKEW = timedelta(seconds=60)
"""By which the clock of who judges may be ahead of this one."""


def correction_of(corrections: Sequence[Correction], revision: int, instant: str | None = None) -> Correction | None:
    """Give the judgement that decides on a revision; None where it is sound.

    Parameters
    ----------
    judgements
        All of one detector, in their order.
    instant
        For which it is asked, UTC ISO-8601; None is now.
    """
    covering = (item for item in reversed(corrections) if item.revision == revision and covers(item, instant))
    return next(covering, None)


def covers(correction: Correction, instant: str | None = None) -> bool:
    """Tell whether a judgement is about an instant, from `since` on and before `until`; None is now."""
    if instant is None:  # neither may lie in the future
        return correction.until is None
    asked = to_datetime(instant)
    if correction.since is not None and asked < to_datetime(correction.since):
        return False
    return correction.until is None or asked < to_datetime(correction.until)


def chain(corrections: Sequence[Correction], revision: int, instant: str | None = None) -> list[Correction]:
    """Follow a revision to the one that is right: each judgement on the way; ends at a circle, too.

    The revision that is right is the last one's `by`, or the revision asked for where there is none; after
    a retraction there is no right one.
    """
    found: list[Correction] = []
    while (correction := correction_of(corrections, revision, instant)) is not None:
        if correction in found:
            break
        found.append(correction)
        if correction.by is None:
            break
        revision = correction.by
    return found


def unsound(corrections: Sequence[Correction]) -> frozenset[int]:
    """Name the revisions that are wrong now."""
    return frozenset(item.revision for item in corrections if correction_of(corrections, item.revision) is not None)


def told(correction: Correction) -> str:
    """Say what was judged: ``superseded by revision 15: wavelength typed wrong``."""
    what = "retracted" if correction.by is None else f"superseded by revision {correction.by}"
    return f"{what}: {correction.reason}"


def correction_problems(corrections: Sequence[Correction], asked: Correction, count: int, now: str) -> list[str]:
    """Say what is wrong with a judgement before it is stored.

    Parameters
    ----------
    count
        How many revisions there are.
    now
        The time; a judgement is about what was, not about what will be.
    """
    known = f"the history has revisions 1 to {count}" if count else "the history has no revision at all"
    named = [number for number in (asked.revision, asked.by) if number is not None]
    problems = [f"there is no revision {number}: {known}" for number in named if number > count]
    if asked.by == asked.revision:
        problems.append(f"revision {asked.revision} cannot supersede itself: commit the right one first, and name it")
    instants = {name: text for name, text in (("since", asked.since), ("until", asked.until)) if text is not None}
    problems += [
        f'"{name}": {text} is in the future: expected an instant before {now}'
        for name, text in instants.items()
        if to_datetime(text) > to_datetime(now) + _SKEW
    ]
    if len(instants) == 2 and to_datetime(instants["since"]) >= to_datetime(instants["until"]):
        problems.append(f'"since" {asked.since} is not before "until" {asked.until}: expected the earlier one first')
    return problems or _dead_end(corrections, asked)


def _dead_end(corrections: Sequence[Correction], asked: Correction) -> list[str]:
    """See that the revision that replaces another leads to one that is right, for every instant."""
    later = [*corrections, asked]
    # between these instants nothing changes; the first stands for all before the others
    edges = {text for item in later for text in (item.since, item.until) if text is not None}
    for instant in sorted({"0001-01-01T00:00:00Z", *edges}, key=to_datetime):
        if not covers(asked, instant) or asked.by is None:
            continue
        way = chain(later, asked.by, instant)
        if asked in way:
            steps = " ".join(f"{item.revision} by {item.by}," for item in way if item is not asked)
            return [
                f"revision {asked.revision} cannot be superseded by {asked.by}, for that leads back to it "
                f"({steps[:-1]}): commit the right geometry anew, and name that revision"
            ]
        if way and way[-1].by is None:
            return [f"revision {way[-1].revision} was retracted ({way[-1].reason}): expected one that is right"]
    return []
