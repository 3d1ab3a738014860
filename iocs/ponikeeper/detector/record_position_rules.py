"""Decide which commit records the position of the links for the active geometry, or why that is refused. Pure."""

from collections.abc import Sequence

from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.protocol import Commit, LinkState
from ponikeeper.protocol.findings import WHERE_TO_BEGIN
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.model_revisions import is_model


def decide_record_position(
    revision: Revision | None, corrections: Sequence[Correction], links: Sequence[LinkState], *, force: bool = False
) -> Commit:
    """Return the commit that records the links' position now as the position of the active geometry.

    Parameters
    ----------
    revision
        The active revision with the label that it has now, None if the detector is UNSET.
    corrections
        All corrections of the detector's revisions.
    links
        The links as they are now.
    force
        Whether to accept that its wavelength contradicts a link.

    Returns
    -------
    Commit

    Raises
    ------
    RefusedError
        The position is unknown, or there is no sound active revision, or it is a model.
    """
    if revision is None:
        raise RefusedError(f"no revision is active yet, so RecordPosition has no geometry to record: {WHERE_TO_BEGIN}")
    if is_model(revision):
        raise RefusedError(
            f"revision {revision.number} is a model, whose geometry is computed for the position of the links: there "
            "is nothing to record. For a geometry that holds here only, calibrate here"
        )
    problems = [
        f"the position of the links is unknown: {link.unknown_because}"
        for link in in_service(links)
        if link.unknown_because
    ]
    if not links:
        problems.append("the configuration has no links, so there is no position that RecordPosition could record")
    elif not in_service(links):
        problems.append("every link is out of service: return one to service, then record the position")
    correction = correction_of(corrections, revision.number)
    if correction is not None:
        problems.append(f"revision {revision.number} was {describe_correction(correction)}: activate one that is right")
    if problems:
        raise RefusedError(problems)
    provenance = {key: value for key, value in revision.provenance.items() if key != "author"}
    provenance["derived_from"] = revision.number
    return Commit({}, provenance, revision.label, position="now", force=force)
