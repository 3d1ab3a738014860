"""Decide which integration settings belong to the revision that a commit creates. Pure."""

from ponikeeper.geometry import Geometry
from ponikeeper.history import Revision
from ponikeeper.protocol import Commit
from ponikeeper.protocol.integration import integration_of
from ponikeeper.text import strictjson


def decide_integration(active: Revision | None, commit: Commit, geometry: Geometry) -> dict[str, object] | None:
    """Return the settings of the new revision: those of the commit, otherwise those of the active revision.

    They say how images are reduced, which a new calibration does not change; so they are kept until another detector
    comes, or a commit has others, or null.

    Parameters
    ----------
    active
        The active revision, None if the detector is UNSET.
    commit
        The request.
    geometry
        The geometry of the new revision.

    Returns
    -------
    dict or None
        None for none.
    """
    settings = integration_of(commit.provenance)
    if "integration" not in commit.provenance and active is not None and active.geometry.detector == geometry.detector:
        settings = integration_of(active.provenance)
    return None if settings is None else dict(strictjson.plain(settings))  # type: ignore[call-overload]
