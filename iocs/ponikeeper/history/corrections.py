"""Which revision is right for an instant, after what was found out later: pure.

The last judgement that covers an instant decides for it. A superseded revision leads on to the one
that replaces it, which may have been judged itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ponikeeper.history.records import Judgement

_SKEW = timedelta(seconds=60)
"""By which the clock of who judges may be ahead of this one."""


def judgement_of(judgements: Sequence[Judgement], revision: int, instant: str | None = None) -> Judgement | None:
    """Give the judgement that decides on a revision; None where it is sound.

    Parameters
    ----------
    judgements
        All of one detector, in their order.
    instant
        For which it is asked, UTC ISO-8601; None is now.
    """
    covering = (item for item in reversed(judgements) if item.revision == revision and covers(item, instant))
    return next(covering, None)


def covers(judgement: Judgement, instant: str | None = None) -> bool:
    """Tell whether a judgement is about an instant, from `since` on and before `until`; None is now."""
    if instant is None:  # neither may lie in the future
        return judgement.until is None
    asked = datetime.fromisoformat(instant)
    if judgement.since is not None and asked < datetime.fromisoformat(judgement.since):
        return False
    return judgement.until is None or asked < datetime.fromisoformat(judgement.until)


def chain(judgements: Sequence[Judgement], revision: int, instant: str | None = None) -> list[Judgement]:
    """Follow a revision to the one that is right: each judgement on the way; ends at a circle, too.

    The revision that is right is the last one's `by`, or the revision asked for where there is none; after
    a retraction there is no right one.
    """
    found: list[Judgement] = []
    while (judgement := judgement_of(judgements, revision, instant)) is not None:
        if judgement in found:
            break
        found.append(judgement)
        if judgement.by is None:
            break
        revision = judgement.by
    return found


def unsound(judgements: Sequence[Judgement]) -> frozenset[int]:
    """Name the revisions that are wrong now."""
    return frozenset(item.revision for item in judgements if judgement_of(judgements, item.revision) is not None)


def told(judgement: Judgement) -> str:
    """Say what was judged: ``superseded by revision 15: wavelength typed wrong``."""
    what = "retracted" if judgement.by is None else f"superseded by revision {judgement.by}"
    return f"{what}: {judgement.reason}"


def judgement_problems(judgements: Sequence[Judgement], asked: Judgement, count: int, now: str) -> list[str]:
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
        if datetime.fromisoformat(text) > datetime.fromisoformat(now) + _SKEW
    ]
    if len(instants) == 2 and datetime.fromisoformat(instants["since"]) >= datetime.fromisoformat(instants["until"]):
        problems.append(f'"since" {asked.since} is not before "until" {asked.until}: expected the earlier one first')
    return problems or _dead_end(judgements, asked)


def _dead_end(judgements: Sequence[Judgement], asked: Judgement) -> list[str]:
    """See that the revision that replaces another leads to one that is right, for every instant."""
    later = [*judgements, asked]
    # between these instants nothing changes; the first stands for all before the others
    edges = {text for item in later for text in (item.since, item.until) if text is not None}
    for instant in sorted({"0001-01-01T00:00:00Z", *edges}, key=datetime.fromisoformat):
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
