"""Which revision is the model of a detector, and which of its members turned out to be wrong. Pure."""

from collections.abc import Sequence

from ponikeeper.geometry.kinematics import Model
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.undos import undone_serials
from ponikeeper.protocol.models import is_model, members_of


def active_model(history: ExportedHistory) -> Revision | None:
    """Return the model that gives the geometry where no revision was calibrated.

    Parameters
    ----------
    history
        All records of the detector.

    Returns
    -------
    Revision or None
        The one that was committed or activated last, was not undone, and has no correction; None if there is none.
    """
    undone = undone_serials(history.undos)
    for activation in reversed(history.activations):
        revision = history.revisions[activation.revision - 1]
        usable = activation.is_requested and activation.serial not in undone and is_model(revision)
        if usable and correction_of(history.corrections, revision.number) is None:
            return revision
    return None


def corrected_members(model: Model, corrections: Sequence[Correction]) -> dict[int, str]:
    """Return which members of a model turned out to be wrong.

    Parameters
    ----------
    model
        The model.
    corrections
        All corrections of the detector's revisions.

    Returns
    -------
    dict
        What its correction says, by the number of each.
    """
    found = {number: correction_of(corrections, number) for number, _ in members_of(model)}
    return {number: describe_correction(correction) for number, correction in found.items() if correction is not None}
