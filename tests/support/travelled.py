"""Documents and histories of runs that move a detector on a rail, whose model was active."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from event_model import compose_run

from ponikeeper.geometry.kinematics import Model
from ponikeeper.history import Activation, DerivedGeometry, Revision
from ponikeeper.history.derived import with_derived
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol import LinkState, Snapshot
from ponikeeper.protocol.models import certainty_of
from rails import FAR, NEAR, at, calibration, rail
from recalling import BEGIN, PREFIX, Documents, configured, iso, revision

Z = LinkState("z", "X:z.RBV", "motor", "mm", 1.0, NEAR, NEAR, False, True, True)
"""The link of the rail, at rest."""

READ = {"det_z": {"source": "PV:X:z.RBV", "dtype": "number", "shape": [], "units": "mm", "object_name": "det_z"}}
"""The data key of its motor in the events."""

MOVES = {"calibration_guard": [{"on_change": "new_descriptor", "on_status": "warn", "moving": ["z"]}]}
"""The start document of a guarded run that moves it."""


def sealed(found: Revision) -> Revision:
    """Return a revision with its checksum."""
    return dataclasses.replace(found, checksum=checksum(PREFIX, "revision", found.row()))


def calibrated(number: int, place: float) -> Revision:
    """Make a calibration at a place on the rail."""
    from ponikeeper.geometry import Geometry

    position = {"z": {"value": place, "units": "mm"}}
    geometry = Geometry.parse(calibration(rail(), place))
    return sealed(dataclasses.replace(revision(number), geometry=geometry, position=position))


def committed(number: int, model: Model, store: str = "one") -> Revision:
    """Make the revision of a model."""
    position = {link: {"value": value, "units": "mm"} for link, value in model.reference.items()}
    provenance = {"method": "model", "model": model.as_dict(), **certainty_of(model.evaluate(model.reference))}
    bare = dataclasses.replace(revision(number, store), geometry=model.geometry, position=position)
    return sealed(dataclasses.replace(bare, provenance=provenance))


def given(number: int, serial: int, found: Revision, model: Model, place: float) -> DerivedGeometry:
    """Make the record of what a model gave for a place."""
    position = {"z": {"value": place, "units": "mm"}}
    evaluation = model.evaluate({"z": place})
    return DerivedGeometry(number, serial, found.number, evaluation.geometry, position, certainty_of(evaluation))


class Travel:
    """A detector on a rail: calibrated at both ends, with a model of these, and what it gave where it rested."""

    def __init__(self, rests: Sequence[float], sigma: float = 2e-6) -> None:
        near, far = calibrated(1, NEAR), calibrated(2, FAR)
        self.model = rail(sigma=sigma, members=((1, near.uid), (2, far.uid)))
        self.revisions = [near, far, committed(3, self.model, f"sigma {sigma}")]
        self.rests = rests
        self.derived = [
            given(number, 2 + number, self.revisions[2], self.model, place) for number, place in enumerate(rests, 1)
        ]

    def snapshot(self, rest: int = 1, status: str = "VALID", links: Sequence[LinkState] | None = None) -> Snapshot:
        """Return what was published at one of the rests, which are counted from 1."""
        derived = self.derived[rest - 1]
        active = with_derived(self.revisions[2], derived)
        place = self.rests[rest - 1]
        states = (dataclasses.replace(Z, value=place, calibrated=place),) if links is None else tuple(links)
        return Snapshot(
            PREFIX, status, "", derived.serial, active.number, active.uid, active.checksum, active.label,
            iso(BEGIN - 1 + rest), active.geometry, active.position, active.provenance,
            () if status == "VALID" else ((status, "z"),), states,
        )  # fmt: skip

    def history(self, corrections: Sequence[Any] = (), more: Sequence[Revision] = ()) -> ExportedHistory:
        """Return the exported history."""
        revisions = (*self.revisions, *more)
        activations = [Activation(number, number, iso(BEGIN - 900), "commit", "alice") for number in (1, 2)]
        activations += [
            Activation(derived.serial, 3, iso(BEGIN - 1 + number), "model", "ioc")
            for number, derived in enumerate(self.derived, 1)
        ]
        return ExportedHistory(
            PREFIX, iso(BEGIN + 2e6), revisions, tuple(activations), tuple(corrections), derived=tuple(self.derived)
        )

    def at(self, place: float) -> Any:
        """Return what the model gives for a place."""
        return at(self.model, place)


def documents(
    found: Snapshot,
    events: Sequence[Mapping[str, Any]],
    keys: Mapping[str, Any] = READ,
    start: Mapping[str, Any] = MOVES,
    times: Sequence[float] | None = None,
    stamps: Sequence[float] | None = None,
) -> Documents:
    """Make the documents of a run with one descriptor.

    Parameters
    ----------
    found
        What was published when the descriptor was made.
    events
        Data of each event.
    keys
        Data keys.
    start
        Further keys of the start document.
    times, stamps
        When each event was made, and the timestamp of all that it read (s after the beginning of the run).
    """
    run = compose_run(time=BEGIN, metadata={"scan_id": 1, "detectors": ["pe1"], **start})
    descriptor = run.compose_descriptor(
        name="primary", data_keys=dict(keys), configuration=configured(found), time=BEGIN + 0.5,
        object_keys={each["object_name"]: [key] for key, each in keys.items()},
    )  # fmt: skip
    made: Documents = [("start", run.start_doc), ("descriptor", descriptor.descriptor_doc)]
    for number, data in enumerate(events):
        at_time = BEGIN + (1.0 + number if times is None else times[number])
        stamp = at_time - 0.1 if stamps is None else BEGIN + stamps[number]
        event = descriptor.compose_event(data=dict(data), timestamps=dict.fromkeys(data, stamp), time=at_time)
        made.append(("event", event))
    return [*made, ("stop", {**run.compose_stop(), "time": BEGIN + 100.0})]


def with_baseline(snapshot: Snapshot, places: Sequence[float]) -> Documents:
    """Make a run with a baseline, which does not read the motor, and a stream that reads it, an event at each place."""
    run = compose_run(time=BEGIN, metadata={"scan_id": 1})
    key = {"dtype": "number", "shape": [], "source": "SIM:x"}
    made: Documents = [("start", run.start_doc)]
    for name, columns, count in (("baseline", ["total"], 1), ("primary", ["total", "motor"], len(places))):
        keys = {column: {**key, "object_name": "pe1"} for column in columns}
        descriptor = run.compose_descriptor(
            name=name, data_keys=keys, object_keys={"pe1": columns}, configuration=configured(snapshot), time=BEGIN
        )
        made.append(("descriptor", descriptor.descriptor_doc))
        for number, place in enumerate(places[:count]):
            data, stamps = dict.fromkeys(columns, place), dict.fromkeys(columns, BEGIN + 2 * number + 1)
            made.append(("event", descriptor.compose_event(data=data, timestamps=stamps, time=BEGIN + 2 * number + 2)))
    made.append(("stop", run.compose_stop()))
    return made
