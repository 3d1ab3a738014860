"""An IOC in memory for fake devices: a snapshot, and commits that change it. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ponikeeper.errors import GeometryError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import files_of, named_files
from ponikeeper.protocol import Commit, Request, Result, Snapshot
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.findings import UNWATCHED
from ponikeeper.protocol.status import Status
from ponikeeper.text import timestamps

_MANUAL: dict[str, object] = {"method": "manual"}

_STATUS: dict[str, Any] = {
    "status": Status.UNWATCHED.name,
    "reason": UNWATCHED,
    "findings": ((Status.UNWATCHED.name, ""),),
    "link_states": (),
}
"""What the status of a geometry without links is."""


def default_snapshot(prefix: str) -> Snapshot:
    """Return what a fake device shows at first: a geometry of a Perkin-Elmer detector.

    Parameters
    ----------
    prefix
        PV prefix of the detector.

    Returns
    -------
    Snapshot
        Revision 1, serial 1.
    """
    example = Snapshot.from_json(EXAMPLES["snapshot"])
    return replace(
        example,
        prefix=prefix,
        serial=1,
        revision=1,
        label=None,
        position=None,
        provenance={"method": "manual"},
        **_STATUS,
    )


def no_history(operation: str) -> str:
    """Return the message that a fake device cannot do what needs a history."""
    return f"a fake device has no history for {operation}: it only commits. Test it against an IOC: ponikeeper demo"


def committed(snapshot: Snapshot, request: Request, now: datetime) -> tuple[Snapshot, Result]:
    """Return the snapshot after a commit, and the result.

    Parameters
    ----------
    snapshot
        The active geometry.
    request
        A commit; omitted values are those of the active geometry.
    now
        Time of the commit.

    Returns
    -------
    tuple of Snapshot and Result
        A new revision; its position was not recorded.

    Raises
    ------
    RefusedError
        The values do not form a geometry, another revision is active, or the request is not a commit.
    """
    if not isinstance(request, Commit):
        raise RefusedError(no_history(request.op))
    if request.expect_revision not in (None, snapshot.revision):
        raise RefusedError(f"revision {snapshot.revision} is active, expected {request.expect_revision}")
    active = snapshot.geometry.as_dict() if snapshot.geometry is not None and request.inherit else {}
    try:
        geometry = Geometry.parse({**active, **request.geometry})
    except GeometryError as error:
        raise RefusedError(error.problems) from None
    number, time = snapshot.revision + 1, timestamps.from_datetime(now)
    after = replace(
        snapshot,
        **_STATUS,
        serial=snapshot.serial + 1,
        revision=number,
        uid=str(uuid5(NAMESPACE_URL, f"{snapshot.prefix}{number}")),
        label=request.label,
        activated=time,
        geometry=geometry,
        position=None,
        provenance={**request.provenance, **_files(snapshot, request, geometry)},
    )
    return after, Result(request.request, request.op, "accepted", number, after.serial, (), time)


def _files(snapshot: Snapshot, request: Commit, geometry: Geometry) -> dict[str, object]:
    """Return the files of a commit, or those of the same detector, as a part of the provenance."""
    files = request.files or files_of(snapshot.provenance)
    active = snapshot.geometry
    same = active is not None and named_files(active.detector_config) == named_files(geometry.detector_config)
    return {"files": files} if files and (request.files or same) else {}
