"""Which revision is the model of a detector, and what was made of its output. Pure."""

from ponikeeper.history import Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.undos import undone_serials
from ponikeeper.protocol.model_revisions import is_model


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


def no_model_text(history: ExportedHistory) -> str:
    """Format that a detector has no model, for people.

    Parameters
    ----------
    history
        All records of the detector, of which `active_model` finds none.

    Returns
    -------
    str
        With the newest model that was corrected or undone, and how to show it; otherwise how to fit one.
    """
    prefix, newest = history.prefix, next((each for each in reversed(history.revisions) if is_model(each)), None)
    if newest is None:
        return f"{prefix} has no model: fit one to its calibrations with ponikeeper model fit ... --put"
    correction = correction_of(history.corrections, newest.number)
    what = "undone" if correction is None else describe_correction(correction)
    return (
        f"{prefix} has no model that is right: the newest one, revision {newest.number}, was {what}; ponikeeper model "
        f"show '{prefix}' --revision {newest.number} shows it all the same"
    )


def model_behind(history: ExportedHistory, revision: Revision) -> Revision | None:
    """Return the model of whose geometry a revision was made: by edits, by recording its position, or as a PONI file.

    Parameters
    ----------
    history
        All records of the detector.
    revision
        Any revision.

    Returns
    -------
    Revision or None
        The first model in the chain of ``derived_from``, or the one that computed the very same values before; None
        where there is none, or the revision is a model itself.
    """
    here = revision
    while not is_model(here):
        if (model := _computed_by(history, here)) is not None:
            return model
        origin = here.provenance.get("derived_from")
        if not isinstance(origin, int) or not 1 <= origin < here.number:  # each is older: the chain has an end
            return None
        here = history.revisions[origin - 1]
    return None if here is revision else here


def _computed_by(history: ExportedHistory, revision: Revision) -> Revision | None:
    """Return the older model that gave exactly the values of a revision, as a PONI file keeps them; None if none did.

    The values of a calibration that is older than the model are those of the calibration.
    """
    geometry = revision.geometry
    numbers = (
        record.revision
        for record in history.derived
        if record.geometry.dist == geometry.dist and record.geometry == geometry and record.revision < revision.number
    )
    first = min(numbers, default=None)
    if first is None or any(each.geometry == geometry for each in history.revisions[: first - 1]):
        return None
    return history.revisions[first - 1]
