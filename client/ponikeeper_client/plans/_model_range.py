"""Check before a detector moves that its active model holds where it will be."""

from collections.abc import Mapping, Sequence
from typing import Any

from ponikeeper.errors import CalibrationError
from ponikeeper.history.corrections import correction_of
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol import LinkState, calibrated_value, is_within
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.models import answer_at, farthest_reach, is_model, snapshot_model
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans.arrival import linked_readbacks


def require_geometries(motor: Any, positions: Mapping[str, float], calibs: Sequence[CalibrationData]) -> None:
    """Check that there is a geometry wherever a motor will move detectors whose active revision is a model.

    Parameters
    ----------
    motor
        A motor whose readback is one of the linked PVs.
    positions
        Where it will move, by name (the motor's units).
    calibs
        The calibrations of the detectors; those that have no active model are not checked.

    Raises
    ------
    CalibrationError
        The model of a detector does not hold at a position, and no revision was calibrated there; the message has
        the range of the model.
    """
    if problems := [problem for calib in calibs for problem in _problems(calib, motor, positions)]:
        raise CalibrationError(problems)


def _problems(calib: CalibrationData, motor: Any, positions: Mapping[str, float]) -> list[str]:
    snapshot, links = calib.read_snapshot(), in_service(calib.read_links())
    model = snapshot_model(snapshot)
    if model is None:
        return []
    by_name = {link.name: link for link in links}
    values = {name: link.value for name, link in by_name.items() if link.value is not None}
    readbacks = linked_readbacks(motor, links).items()
    moved = [name for name, readback in readbacks if _has_units_of(by_name[name], readback)]
    if not model.reference.keys() <= values.keys() or model.reference.keys().isdisjoint(moved):
        return []
    farthest = farthest_reach(model, None, extrapolate=calib.may_extrapolate())

    def problem_at(place: float) -> str:
        return answer_at(model, values | dict.fromkeys(moved, place), farthest).problem

    outside = {name: problem for name, place in positions.items() if (problem := problem_at(place))}
    history = calib.history() if outside else None
    return [
        f"{calib.name}: position {name}: {problem}, and no revision was calibrated there; nothing has moved"
        for name, problem in outside.items()
        if history is None or not _is_calibrated_at(history, [by_name[link] for link in moved], positions[name])
    ]


def _has_units_of(link: LinkState, readback: Any) -> bool:
    """Return whether a motor has the units of a link: the IOC converts a value from others."""
    return link.value is not None and is_within(link, link.value, float(readback.get()))


def _is_calibrated_at(history: ExportedHistory, links: Sequence[LinkState], place: float) -> bool:
    """Return whether a calibrated revision, neither corrected nor undone, is of a place."""
    undone = undone_revisions(history.activations, history.undos)
    return any(
        all(
            (value := calibrated_value(link, revision.position)) is not None and is_within(link, place, value)
            for link in links
        )
        for revision in history.revisions
        if not is_model(revision)
        and revision.number not in undone
        and correction_of(history.corrections, revision.number) is None
    )
