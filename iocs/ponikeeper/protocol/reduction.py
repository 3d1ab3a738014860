"""The commit that changes how images are reduced, by mask and integration settings, but not the geometry. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.files import MASK, Files, files_of
from ponikeeper.protocol.findings import WHERE_TO_BEGIN
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.request import Commit, RequestedPosition
from ponikeeper.protocol.schema import PROVENANCE
from ponikeeper.protocol.snapshot import Snapshot

KEPT: Mapping[str, object] = MappingProxyType({})
"""Settings that stay as they are."""


def with_reduction(
    snapshot: Snapshot, integration: Mapping[str, object] | None = KEPT, files: Files | None = None
) -> Commit:
    """Return the commit of the active geometry with other integration settings, or another mask.

    Values, label, position and provenance of the active revision are kept; `derived_from` names it.

    Parameters
    ----------
    snapshot
        The active revision.
    integration
        The settings; None removes them, and an empty mapping keeps them.
    files
        Path and SHA-256 of the mask as ``mask``; empty removes it, None keeps it.

    Returns
    -------
    Commit

    Raises
    ------
    RefusedError
        There is no active revision, or it is a model.
    """
    if snapshot.geometry is None:
        raise RefusedError(f"no revision of {snapshot.prefix} is active yet: {WHERE_TO_BEGIN}")
    if is_model(snapshot):
        raise RefusedError(
            f"revision {snapshot.revision} is a model, whose settings were committed with it: activate one of its "
            "calibrations, change the settings, then commit the model again with ponikeeper model put"
        )
    kept = {key: value for key, value in snapshot.provenance.items() if key in PROVENANCE and key != "author"}
    kept["derived_from"] = snapshot.revision
    if integration is None or integration:
        kept["integration"] = integration
    known = files_of(snapshot.provenance)
    removed = files is not None and not files and MASK in known
    entries = {name: entry for name, entry in known.items() if name != MASK or not removed}
    return Commit(
        snapshot.geometry.as_dict() if removed else {},  # a commit of some values keeps the mask
        kept,
        snapshot.label,
        _position(snapshot),
        snapshot.revision,
        files={**entries, **(files or {})},
    )


def _position(snapshot: Snapshot) -> RequestedPosition:
    """Return the position of the active revision, as a request has it."""
    if snapshot.position is None:
        return "unknown"
    return {name: cast("float", item["value"]) for name, item in snapshot.position.items()}
