"""The values of the PVs of a detector for a state: pure functions."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

from caproto import AlarmSeverity, AlarmStatus

from ponikeeper.detector.state import DetectorState
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.history.service import describe_service, links_out_of_service
from ponikeeper.protocol import MAX_BYTES, MAX_STRING_BYTES, results_json
from ponikeeper.protocol.header import write_header
from ponikeeper.protocol.models import model_of, model_text
from ponikeeper.protocol.pvs import WITH_SIGMA, readback, sigma
from ponikeeper.protocol.status import SEVERITIES, Severity, Status
from ponikeeper.protocol.text_tables import revision_entry
from ponikeeper.text import strictjson, timestamps
from ponikeeper.text.ascii import to_ascii


@dataclass(frozen=True, slots=True)
class PVValue:
    """A value with its alarm."""

    value: float | int | str
    severity: AlarmSeverity = AlarmSeverity.NO_ALARM
    status: AlarmStatus = AlarmStatus.NO_ALARM


def geometry_value(geometry: Geometry | None, name: str) -> PVValue:
    """Return one of the eleven values; NaN or an empty text with INVALID alarm if no geometry is active."""
    if geometry is None:
        text = name in ("detector", "detector_config")
        return PVValue("" if text else math.nan, AlarmSeverity.INVALID_ALARM, AlarmStatus.UDF)
    if name == "detector_config":
        return PVValue(strictjson.dumps(geometry.as_dict()["detector_config"]))
    return PVValue(getattr(geometry, name))


def geometry_values(geometry: Geometry | None) -> dict[str, PVValue]:
    """Return the eleven values by their names; NaN and empty texts with INVALID alarm if no geometry is active."""
    return {name: geometry_value(geometry, name) for name in (*NAMES, "detector_config")}


def activation_values(state: DetectorState, severities: Mapping[Status, Severity] = SEVERITIES) -> dict[str, PVValue]:
    """Return, by suffix, all values that change with an activation; snapshot and serial last."""
    revision, geometry = state.revision, state.revision and state.revision.geometry
    values = {readback(name): value for name, value in geometry_values(geometry).items()}
    values["Poni_RBV"] = PVValue("" if geometry is None else poni.write(geometry))
    values |= _derived_values(geometry) | _provenance(revision)
    values |= _model(revision)
    values["Revision_RBV"] = PVValue(0 if revision is None else revision.number)
    values["Time_RBV"] = PVValue("" if state.activation is None else state.activation.time)
    values["History:Count_RBV"] = PVValue(state.count)
    values |= status_values(state, severities)
    values["Serial_RBV"] = PVValue(0 if state.activation is None else state.activation.serial)
    return values


def since_value(state: DetectorState, now: datetime) -> PVValue:
    """Return since when the geometry has been active, in local time, with its age."""
    return PVValue("" if state.activation is None else timestamps.with_age(state.activation.time, now))


def label_values(state: DetectorState) -> dict[str, PVValue]:
    """Return, by suffix, the values that change with the label of the active revision."""
    label = PVValue("" if state.revision is None else state.revision.label or "")
    return {"Label_RBV": label, "Label": label}


def setpoint_values(state: DetectorState) -> dict[str, PVValue]:
    """Return, by suffix, what the setpoints of whole revisions show: put again, they lead to what is active."""
    revision = state.revision
    return {
        "Activate": PVValue("" if revision is None else str(revision.number)),
        "Poni": PVValue("" if revision is None else poni.write(revision.geometry)),
    }


def status_values(state: DetectorState, severities: Mapping[Status, Severity] = SEVERITIES) -> dict[str, PVValue]:
    """Return, by suffix, the values that change with the status and have it as their alarm; header and snapshot last.

    Header and snapshot are made of one object, so that they agree.
    """
    severity = AlarmSeverity(severities[state.status])
    alarm = (severity, AlarmStatus.STATE if severity else AlarmStatus.NO_ALARM)
    if state.status is Status.UNSET:
        alarm = (severity, AlarmStatus.UDF)
    snapshot = state.snapshot()
    return {
        "Status_RBV": PVValue(state.status.name, *alarm),
        "Reason_RBV": PVValue(state.reason, *alarm),
        "Advice_RBV": PVValue(state.advice),
        "OutOfService_RBV": PVValue(_out_of_service_text(state)),
        "Header_RBV": PVValue(write_header(snapshot), *alarm),
        "Snapshot_RBV": PVValue(snapshot.as_json(), *alarm),
    }


def _out_of_service_text(state: DetectorState) -> str:
    """Return a line for each link that is out of service, as many as fit."""
    changes = links_out_of_service(state.stored.service).values()
    lines = [to_ascii(f"{change.link} {describe_service(change)}") for change in changes]
    return "\n".join(lines)[:MAX_BYTES]


def transaction_values(state: DetectorState) -> dict[str, PVValue]:
    """Return, by suffix, the values that every request changes, also a refused one."""
    return {
        "Accepted_RBV": PVValue(state.accepted),
        "Rejected_RBV": PVValue(state.rejected),
        "Message_RBV": PVValue(to_ascii(state.message)[:MAX_BYTES]),
        "Results_RBV": PVValue(results_json(state.results)),
    }


def list_text(
    revisions: Sequence[Revision], corrections: Sequence[Correction], around: int, undone: Collection[int] = ()
) -> str:
    """Return revisions as JSON, newest first, as many around one of them as fit a PV."""
    rows = {revision.number: strictjson.dumps(revision_entry(revision, corrections, undone)) for revision in revisions}
    selected: list[int] = []
    room = MAX_BYTES - 100
    for number in sorted(rows, key=lambda number: (abs(number - around), -number)):
        room -= len(rows[number]) + 2
        if room < 0:
            break
        selected.append(number)
    return f'{{"v": 1, "revisions": [{", ".join(rows[number] for number in sorted(selected, reverse=True))}]}}'


def selected_text(revision: Revision, corrections: Sequence[Correction]) -> str:
    """Return one revision as JSON, with the correction that applies and the latest others, as many as fit a PV."""
    decides = correction_of(corrections, revision.number)
    about = [item for item in corrections if item.revision == revision.number]
    left_out = 0
    while True:
        corrected = {"judgements": [item.as_dict() for item in about], "judgements_left_out": left_out}
        text = strictjson.dumps({"v": 1, **revision.as_dict(), **corrected})
        others = [item for item in about if item is not decides]
        if len(text) < MAX_BYTES or not others:
            return text
        about.remove(others[0])
        left_out += 1


_DERIVED = {
    "Energy_RBV": "energy",
    "WavelengthA_RBV": "wavelength",
    "BeamX_RBV": "beam_x",
    "BeamY_RBV": "beam_y",
    "DirectDist_RBV": "direct_dist",
    "Tilt_RBV": "tilt",
    "TiltPlane_RBV": "tilt_plane",
}
"""Derived values by the suffixes of their PVs: attributes of `Geometry` and `Fit2D`."""


def _derived_values(geometry: Geometry | None) -> dict[str, PVValue]:
    if geometry is None:
        return dict.fromkeys(_DERIVED, PVValue(math.nan, AlarmSeverity.INVALID_ALARM, AlarmStatus.UDF))
    values: dict[str, float] = {"energy": geometry.energy, "wavelength": geometry.wavelength}
    if geometry.fit2d is not None:
        values |= asdict(geometry.fit2d)
    return {
        suffix: PVValue(DISPLAY_UNITS[name].convert(values.get(name, math.nan))) for suffix, name in _DERIVED.items()
    }


def _model(revision: Revision | None) -> dict[str, PVValue]:
    model = None if revision is None else model_of(revision)
    if model is None or revision is None:
        return {"Model_RBV": PVValue(""), "ModelRange_RBV": PVValue("")}
    text = strictjson.dumps(strictjson.plain(revision.provenance["model"]))
    return {
        "Model_RBV": PVValue(text),
        "ModelRange_RBV": PVValue(to_ascii(model_text(model, revision.position))[:MAX_BYTES]),
    }


def _provenance(revision: Revision | None) -> dict[str, PVValue]:
    provenance: Mapping[str, object] = {} if revision is None else revision.provenance

    def text(key: str) -> PVValue:
        return PVValue(to_ascii(str(provenance.get(key, "")))[:MAX_STRING_BYTES])

    def number(value: object) -> PVValue:
        if not isinstance(value, int | float):
            return PVValue(math.nan, AlarmSeverity.INVALID_ALARM, AlarmStatus.UDF)
        return PVValue(float(value))

    deviations = cast("Mapping[str, object]", provenance.get("sigma", {}))
    return {
        "Method_RBV": text("method"),
        "Calibrant_RBV": text("calibrant"),
        "Residual_RBV": PVValue(cast("float", provenance.get("residual_px", math.nan))),
        **{sigma(name): number(deviations.get(name)) for name in WITH_SIGMA},
        "Accuracy_RBV": number(provenance.get("accuracy_deg")),
        "NPoints_RBV": PVValue(min(cast("int", provenance.get("n_points", 0)), 2**31 - 1)),
        "NRings_RBV": PVValue(min(cast("int", provenance.get("n_rings", 0)), 2**31 - 1)),
        "Author_RBV": text("author"),
        "RunUid_RBV": text("run_uid"),
        "Comment_RBV": PVValue(to_ascii(str(provenance.get("comment", "")))[:MAX_BYTES]),
    }
