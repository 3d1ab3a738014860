"""Decide what an undo activates, or why it is refused. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ponikeeper.detector.follow_rules import is_at
from ponikeeper.errors import RefusedError
from ponikeeper.history import Activation, Correction, Position, Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.history.records import FOLLOWED
from ponikeeper.protocol import Commit, LinkState, Undo, calibrated_value, is_within, quantity
from ponikeeper.protocol.link_values import is_same_position
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.models import joints_of


@dataclass(frozen=True, slots=True)
class UndoStep:
    """An activation that is to be undone.

    Parameters
    ----------
    undone
        The activation.
    wrong
        The revision that it had activated.
    before
        The revision that was active just before it.
    """

    undone: Activation
    wrong: Revision
    before: Revision


def activation_to_undo(newest_first: Iterable[Activation], undone: Collection[int]) -> Activation:
    """Find the newest activation that a person or a client asked for and that is neither undone nor an undo.

    Parameters
    ----------
    newest_first
        The activations of a detector; read as far as needed.
    undone
        Serials of the activations that were undone.

    Returns
    -------
    Activation
        It is not the first one of the detector.

    Raises
    ------
    RefusedError
        There is none, the links were followed since, or nothing was active before it.
    """
    for activation in newest_first:
        if activation.cause == FOLLOWED:
            raise RefusedError(
                f"revision {activation.revision} was activated at {activation.time} because the links came to its "
                "position, which is not undone, and what was activated before was for another position: put the number "
                "of the revision that is right to Activate. If this one is wrong, retract it: the links would activate "
                "it again"
            )
        if activation.is_requested and activation.serial not in undone:
            if activation.serial > 1:
                return activation
            raise RefusedError(
                f"nothing was active before revision {activation.revision}: commit the right geometry, or retract "
                f"revision {activation.revision}"
            )
    raise RefusedError("there is nothing to undo: no geometry was ever committed")


def require_expected(request: Undo | Commit, serial: int) -> None:
    """Check that the newest activation is the one that a request expects.

    Parameters
    ----------
    request
        The request.
    serial
        Serial of the newest activation.

    Raises
    ------
    RefusedError
        It expects another one.
    """
    if request.expect_serial not in (None, serial):
        raise RefusedError(
            f"expect_serial {request.expect_serial} is outdated: activation {serial} is the newest one; read the "
            "snapshot again, then send a new request"
        )


def decide_undo(step: UndoStep, corrections: Sequence[Correction], links: Sequence[LinkState]) -> Revision:
    """Check that the revision that was active before can be activated again, and return it.

    Parameters
    ----------
    step
        What is to be undone.
    corrections
        All corrections of the detector's revisions.
    links
        The links as they are now.

    Returns
    -------
    Revision

    Raises
    ------
    RefusedError
        It was corrected, or the links went elsewhere.
    """
    number, links = step.before.number, in_service(links)
    by_number = f"put {number} to Activate if it is right all the same"
    problems: list[str] = []
    correction = correction_of(corrections, number)
    if correction is not None:
        problems.append(
            f"revision {number}, which was active before, was {describe_correction(correction)}: activate one that is "
            "right"
        )
    before, wrong = step.before.position, step.wrong.position
    computed = joints_of(step.before) | joints_of(step.wrong)  # where these are does not tell what was active there
    moved = _elsewhere([link for link in links if link.name not in computed], before)
    if moved and not is_same_position(links, before, wrong) and not is_at(links, wrong):
        problems.append(
            f"the links have moved since: {'; '.join(moved)}, where revision {number} was calibrated: {by_number}"
        )
    if problems:
        raise RefusedError(problems)
    return step.before


def _elsewhere(links: Sequence[LinkState], position: Position | None) -> list[str]:
    """Describe the links that are known to be beyond their tolerance of a position."""
    texts: list[str] = []
    for link in links:
        recorded = calibrated_value(link, position)
        if recorded is not None and link.value is not None and not is_within(link, link.value, recorded):
            now, then = quantity(link.value, link.units), quantity(recorded, link.units)
            texts.append(f"{link} is at {now}, not {then}")
    return texts
