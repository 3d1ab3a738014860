"""Which revisions of a history are the members of a model, and what is against them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ponikeeper.errors import FitError
from ponikeeper.history import Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.labels import label_of, labelled
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol.link_values import recorded_value
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.text.suggestions import suggestion
from ponikeeper_client.model.revisions import model_behind

ALL = "all"

_SAME = ("detector", "pixel1", "pixel2", "orientation", "rot3")
"""What all members have in common."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One revision for a model.

    Parameters
    ----------
    revision
        The revision.
    name
        For people: its label, or its number.
    """

    revision: Revision
    name: str

    def value(self, link: str, units: str) -> float | None:
        """Return the value of a link at its calibration.

        Parameters
        ----------
        link
            Name of the link.
        units
            The units of the result.

        Returns
        -------
        float or None
            None where it was not recorded, or in units that cannot be converted.
        """
        return recorded_value(self.revision.position, link, units)


def select(history: ExportedHistory, words: str, links: Sequence[str]) -> list[Selected]:
    """Select the members of a model.

    Parameters
    ----------
    history
        The history of the detector.
    words
        Labels and numbers with commas between, or ``all``: of each position of the links the newest calibration that
        is neither corrected nor undone, of the detector of the newest one. A revision that was made of the geometry
        of a model is none.
    links
        Names of the joints' links.

    Returns
    -------
    list of Selected
        At least one, with no problem, in the order of the words; ``all`` in that of the history.

    Raises
    ------
    FitError
        With everything that is against them.
    """
    if not history.revisions:
        raise FitError(f"{history.prefix} is UNSET: no geometry was ever committed")
    chosen = _newest_of_each(history, links) if words.strip() == ALL else _named(history, words)
    members = [Selected(revision, _name(history, revision)) for revision in chosen]
    wrong = [problem for member in members for problem in _problems_of(history, member, links)]
    if not wrong:
        wrong = _contrasts(members)
    if wrong:
        raise FitError(wrong)
    return members


def require_links(history: ExportedHistory, links: Sequence[str], configured: Collection[str]) -> None:
    """Check that the joints of a model are links of the detector.

    Parameters
    ----------
    history
        The history of the detector.
    links
        Names of the joints' links.
    configured
        Names of the links that the IOC has; empty if that is not known: then those of the positions count.

    Raises
    ------
    FitError
        One is none; the message has those that are.
    """
    recorded = {link for revision in history.revisions for link in revision.position or {}}
    known = sorted({*configured, *recorded})
    unknown = [link for link in links if link not in known]
    if known and unknown:
        since = "" if configured else f"; if {unknown[0]} was configured since, calibrate first"
        raise FitError(
            f"{unknown[0]} is no link of {history.prefix}: expected one of {', '.join(known)}"
            f"{suggestion(unknown[0], known)}{since}"
        )


def units_of(members: Sequence[Selected], link: str) -> str:
    """Return the units of a link, of the last member.

    Parameters
    ----------
    members
        The members, each with a position.
    link
        Name of the link.

    Returns
    -------
    str
    """
    return str((members[-1].revision.position or {})[link]["units"])


def other_links(members: Sequence[Selected], links: Sequence[str]) -> Mapping[str, tuple[float, float, str]]:
    """Return the smallest and largest value of links that are no joints, where they differ.

    Parameters
    ----------
    members
        The members.
    links
        Names of the joints' links.

    Returns
    -------
    dict
        Lowest and highest value and the units, by link.
    """
    ranges: dict[str, tuple[float, float, str]] = {}
    positions = [member.revision.position or {} for member in members]
    units = {link: str(item.get("units")) for position in positions for link, item in position.items()}
    for link, unit in units.items():
        values = [value for member in members if (value := member.value(link, unit)) is not None]
        if link not in links and values and (len(values) < len(members) or min(values) != max(values)):
            ranges[link] = (min(values), max(values), unit)
    return ranges


def _named(history: ExportedHistory, words: str) -> list[Revision]:
    """Return the revisions with labels or numbers; raises `FitError`."""
    chosen: list[Revision] = []
    for word in dict.fromkeys(filter(None, (part.strip() for part in words.split(",")))):
        revision = _numbered(history, int(word)) if word.isascii() and word.isdigit() else _labelled(history, word)
        if revision not in chosen:
            chosen.append(revision)
    if not chosen:
        raise FitError("--revisions is empty: expected labels or numbers, such as near,mid,far, or all")
    return chosen


def _numbered(history: ExportedHistory, number: int) -> Revision:
    if not 1 <= number <= len(history.revisions):
        raise FitError(f"there is no revision {number}: {history.prefix} has {len(history.revisions)}")
    return history.revisions[number - 1]


def _labelled(history: ExportedHistory, label: str) -> Revision:
    undone = undone_revisions(history.activations, history.undos)
    committed = [each.number for each in reversed(history.revisions) if each.label == label]
    for _, number in labelled(label, committed, history.labels):
        if correction_of(history.corrections, number) is None and number not in undone:
            return history.revisions[number - 1]
    labels = {label_of(revision, history.labels) for revision in history.revisions} - {None}
    known = ", ".join(sorted(str(each) for each in labels)) or "none"
    raise FitError(f"no revision labelled {label} is neither corrected nor undone: the history has labels {known}")


def _newest_of_each(history: ExportedHistory, links: Sequence[str]) -> list[Revision]:
    """Return the newest revision of each position that can be used, in the order of the history."""
    undone = undone_revisions(history.activations, history.undos)
    chosen: dict[tuple[object, ...], Revision] = {}
    like: Revision | None = None
    for revision in reversed(history.revisions):
        position = revision.position or {}
        usable = correction_of(history.corrections, revision.number) is None and revision.number not in undone
        usable = usable and not is_model(revision) and model_behind(history, revision) is None
        if not usable or not all(link in position for link in links):
            continue
        like = like or revision
        if all(getattr(revision.geometry, name) == getattr(like.geometry, name) for name in _SAME):
            chosen.setdefault(tuple(position[link].get("value") for link in links), revision)
    if not chosen:
        raise FitError(
            f"no revision of {history.prefix} that is neither corrected nor undone has a position of "
            f"{', '.join(links)}: calibrate with these links configured"
        )
    return sorted(chosen.values(), key=lambda revision: revision.number)


def _name(history: ExportedHistory, revision: Revision) -> str:
    label = label_of(revision, history.labels)
    return f"revision {revision.number}" + (f" ({label})" if label else "")


def _problems_of(history: ExportedHistory, member: Selected, links: Sequence[str]) -> list[str]:
    """Return what is against one revision."""
    number, position = member.revision.number, member.revision.position
    problems = []
    correction = correction_of(history.corrections, number)
    if correction is not None:
        better = "retracted" if correction.by is None else f"superseded by revision {correction.by}"
        problems.append(f"{member.name} is {better}: {correction.reason}; choose revisions that are right")
    if number in undone_revisions(history.activations, history.undos):
        problems.append(f"{member.name} was undone: choose revisions that are right")
    if is_model(member.revision):
        problems.append(f"{member.name} is a model, fitted to other revisions: choose calibrations")
    model = model_behind(history, member.revision)
    if model is not None:
        problems.append(
            f"{member.name} was made of the geometry of {_name(history, model)}, a model: values that a model computed "
            "test none; choose calibrations, or calibrate at this position; a geometry that was measured is committed "
            "as a PONI file, with ponikeeper put"
        )
    missing = [link for link in links if link not in (position or {})]
    if missing:
        problems.append(
            f"{member.name} has no position of {', '.join(missing)}: a model needs to know where it was calibrated"
        )
    return problems


def _contrasts(members: Sequence[Selected]) -> list[str]:
    """Return in what the members differ that they must have in common."""
    problems = []
    for name in _SAME:
        values = {member.name: getattr(member.revision.geometry, name) for member in members}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{value!r} in {member}" for member, value in values.items())
            problems.append(f"{name} differs: {listed}; a model needs calibrations of one detector with one {name}")
    return problems
