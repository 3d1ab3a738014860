"""The messages to a person about the requests of a detector. Pure."""

from collections.abc import Sequence

from ponikeeper.detector.undo_rules import UndoStep
from ponikeeper.errors import StoreError
from ponikeeper.history import Correction, LabelRecord, ServiceChange
from ponikeeper.history.corrections import describe_correction
from ponikeeper.history.record_form import IN_SERVICE
from ponikeeper.protocol import Commit, LinkState, Result, quantity
from ponikeeper.protocol.links import in_service
from ponikeeper.store import Draft


def committed(number: int, commit: Commit, draft: Draft, links: Sequence[LinkState]) -> str:
    """Format that a revision was committed; where its position is unknown, although the request asked for it, why."""
    label = f" ({draft.label})" if draft.label else ""
    return f"revision {number}{label} committed by {draft.provenance['author']}{_position_note(commit, draft, links)}"


def unchanged(number: int) -> str:
    """Format that a revision has already what was requested."""
    return f"revision {number} has the same content: nothing changed"


def activated(number: int, author: str) -> str:
    """Format that a revision was activated by its number or label."""
    return f"revision {number} activated by {author}"


def active_already(number: int) -> str:
    """Format that the revision that was to be activated is active."""
    return f"revision {number} is active already"


def followed(number: int, links: Sequence[LinkState]) -> str:
    """Format that a revision was activated because the links are at its position."""
    return f"revision {number} activated, the links are at {_values(links)}"


def computed(number: int, links: Sequence[LinkState]) -> str:
    """Format that the active model gave the geometry for the position of the links."""
    return f"revision {number}: geometry computed for {_values(links)}"


def _values(links: Sequence[LinkState]) -> str:
    return ", ".join(f"{link.name} {quantity(link.value, link.units)}" for link in links if link.value is not None)


def undone(step: UndoStep, author: str) -> str:
    """Format that an activation was undone."""
    return (
        f"activation {step.undone.serial}, revision {step.wrong.number}, was undone by {author}: "
        f"revision {step.before.number} is active again"
    )


def labelled(record: LabelRecord) -> str:
    """Format that a revision was labelled, or lost its label."""
    done = f"labelled {record.label}" if record.label else "left without a label"
    return f"revision {record.revision} was {done} by {record.author}"


def corrected(correction: Correction) -> str:
    """Format that a revision was superseded or retracted."""
    what = describe_correction(correction)
    return f"revision {correction.revision} was {what} (corrected by {correction.author})"


def service_changed(change: ServiceChange) -> str:
    """Format that a link was taken out of service or returned to it."""
    what = "returned to service" if change.kind == IN_SERVICE else "taken out of service"
    return f"link {change.link} {what} by {change.author}{change.reason and f': {change.reason}'}"


def follow_switched(on: bool, author: str) -> str:
    """Format that following was switched."""
    return f"follow switched {'on' if on else 'off'} by {author}"


def settled(error: StoreError) -> str:
    """Format that a request turned out to be stored, after a failure of the disk."""
    return f"stored, although the disk failed afterwards: {error}"


def unstored(error: StoreError) -> str:
    """Format that a request was not stored, because the disk failed."""
    return f"not stored, the active geometry is unchanged: {error}"


def refused(result: Result) -> str:
    """Format why a request was refused."""
    return "refused: " + "; ".join(result.errors)


def undetermined(why: str) -> str:
    """Format that it is not known yet whether a request is stored."""
    return f"{why}: whether the request is stored is not known yet"


def _position_note(commit: Commit, draft: Draft, links: Sequence[LinkState]) -> str:
    if commit.position != "now" or draft.position is not None:
        return ""
    reasons = [link.unknown_because for link in in_service(links) if link.unknown_because]
    return f", position unknown: {'; '.join(reasons) or 'no link is in service'}"
