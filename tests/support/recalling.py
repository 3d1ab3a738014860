"""Documents of runs with the times that a test wants, and the histories that they were taken from."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from event_model import compose_run

from ponikeeper.geometry import Geometry
from ponikeeper.history import Activation, Correction, Revision
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol import Snapshot
from ponikeeper_client.documents import configuration
from speak import GEOMETRY

PREFIX = "X{Det:1}Calib:"
BEGIN = 1_790_000_000.0
"""When the runs of the tests begin (s since 1970)."""

Documents = list[tuple[str, dict[str, Any]]]


def iso(time: float) -> str:
    """Write an instant as the IOC does."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def revision(number: int, store: str = "one", label: str | None = None, prefix: str = PREFIX) -> Revision:
    """Make the revision of a number in the store of a name; both determine its geometry."""
    uid = hashlib.sha256(f"{store} {prefix} {number}".encode()).hexdigest()[:32]
    dist = 0.1 + 1e-3 * number + 1e-7 * int(uid[:4], 16)
    geometry = Geometry(**{**GEOMETRY, "dist": dist})
    bare = Revision(number, uid, iso(BEGIN - 1000), label, geometry, None, {"method": "fit"}, "")
    return dataclasses.replace(bare, checksum=checksum(prefix, "revision", bare.row()))


def placed(number: int, z: float | None, **values: object) -> Revision:
    """Make a revision that was calibrated at a position; None if that was never recorded."""
    bare = revision(number)
    position = None if z is None else {"z": {"value": z, "units": "mm"}}
    geometry = dataclasses.replace(bare.geometry, **values)
    bare = dataclasses.replace(bare, position=position, geometry=geometry)
    return dataclasses.replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))


def judge(
    number: int, wrong: int, by: int | None = None, since: float | None = None, until: float | None = None
) -> Correction:
    """Make a correction; the instants in s since 1970."""
    instants = (None if time is None else iso(time) for time in (since, until))
    kind = "retract" if by is None else "supersede"
    return Correction(number, kind, wrong, by, *instants, f"reason {number}", iso(BEGIN + 1e6), "alice")


def history(
    count: int, corrections: Iterable[Correction] = (), store: str = "one", prefix: str = PREFIX
) -> ExportedHistory:
    """Make an exported history of some revisions."""
    revisions = tuple(revision(number, store, prefix=prefix) for number in range(1, count + 1))
    activations = tuple(
        Activation(number, number, iso(BEGIN - 900), "commit", "alice") for number in range(1, count + 1)
    )
    return ExportedHistory(prefix, iso(BEGIN + 2e6), revisions, activations, tuple(corrections))


def snapshot(found: Revision | None, prefix: str = PREFIX, status: str = "VALID", serial: int = 1) -> Snapshot:
    """Make the snapshot that was active when a run was taken; None means that nothing was committed."""
    if found is None:
        return Snapshot(prefix, "UNSET", "nothing was committed")
    return Snapshot(
        prefix,
        status,
        "",
        serial,
        found.number,
        found.uid,
        found.checksum,
        found.label,
        iso(BEGIN - 500),
        found.geometry,
        provenance=found.provenance,
    )


def configured(found: Snapshot | dict[str, Any], detector: str = "pe1", calib: str = "calib") -> dict[str, Any]:
    """Make the configuration of one detector: of a snapshot, or of values by plain names, as xpdAcq's."""
    if isinstance(found, Snapshot):
        made = configuration(found, f"{detector}_{calib}")
        return {detector: {"data": made.data, "timestamps": made.timestamps, "data_keys": made.data_keys}}
    data = {f"{detector}_{calib}_{name}": value for name, value in found.items()}
    keys = {key: {"source": f"SIM:{key}", "dtype": "number", "shape": []} for key in data}
    return {detector: {"data": data, "timestamps": dict.fromkeys(data, BEGIN), "data_keys": keys}}


def taken(
    sections: Sequence[tuple[str, dict[str, Any], Sequence[float]]],
    start: dict[str, Any] | None = None,
    detector: str = "pe1",
    end: float | None = None,
    begin: float = BEGIN,
) -> Documents:
    """Make the documents of a run, in the order of their times.

    Parameters
    ----------
    sections
        For each descriptor its stream, its configuration, and when its events were made (s after
        `begin`); the descriptor itself was made half a second before the first of them, or a second
        after the section before it.
    """
    metadata = {"scan_id": 7, "detectors": [detector], "calibration_guard": [{"on_change": "fail"}], **(start or {})}
    run = compose_run(time=begin, metadata=metadata)
    documents: Documents = [("start", run.start_doc)]
    key = f"{detector}_total"
    last = 0.0
    for stream, found, times in sections:
        made = times[0] - 0.5 if times else last + 1.0
        descriptor = run.compose_descriptor(
            name=stream,
            data_keys={key: {"source": "SIM", "dtype": "number", "shape": [], "object_name": detector}},
            object_keys={detector: [key]},
            configuration=found,
            time=begin + made,
        )
        documents.append(("descriptor", descriptor.descriptor_doc))
        for time in times:
            at = begin + time
            event = descriptor.compose_event(data={key: 1.0}, timestamps={key: at}, time=at)
            documents.append(("event", event))
        last = times[-1] if times else made
    documents.append(("stop", {**run.compose_stop(), "time": begin + (last + 1.0 if end is None else end)}))
    return documents
