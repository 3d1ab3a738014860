"""Check before a detector moves that its active model holds where it will be."""

from collections.abc import Mapping, Sequence
from typing import Any

from ponikeeper.errors import CalibrationError
from ponikeeper.history.corrections import correction_of
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol import LinkState, calibrated_value, is_within
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.models import answer_at, model_of, usual_reach
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans.arrival import in_units_of_link, linked_readbacks


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
    snapshot, configured = calib.read_snapshot(), calib.read_links(all_links=True)
    links = in_service(configured)
    model = model_of(snapshot)
    if model is None:
        return []
    by_name = {link.name: link for link in links}
    values = {name: link.value for name, link in by_name.items() if link.value is not None}
    readbacks = linked_readbacks(motor, links)
    moved = [name for name, readback in readbacks.items() if _is_where_the_ioc_sees_it(by_name[name], readback)]
    unused = [link for link in configured if link.name in model.reference and link.name not in by_name]
    is_known = bool(unused) or model.reference.keys() <= values.keys()
    if not is_known or model.reference.keys().isdisjoint(moved):
        return []
    farthest = usual_reach(extrapolate=calib.may_extrapolate())

    def places(place: float) -> dict[str, float]:
        return {link: in_units_of_link(place, readbacks[link], by_name[link]) for link in moved}

    def problem_at(place: float) -> str:
        if unused:
            return f"the model needs {unused[0]}, which is {unused[0].out_of_service}"
        return answer_at(model, values | places(place), farthest).problem

    outside = {name: problem for name, place in positions.items() if (problem := problem_at(place))}
    history = calib.history() if outside else None
    return [
        f"{calib.name}: position {name}: {problem}, and no revision was calibrated there; nothing has moved"
        for name, problem in outside.items()
        if history is None or not _is_calibrated_at(history, by_name, places(positions[name]))
    ]


def _is_where_the_ioc_sees_it(link: LinkState, readback: Any) -> bool:
    """Return whether the readback of a motor is the value of its link; not where the units are a word of the site."""
    value = in_units_of_link(float(readback.get()), readback, link)
    return link.value is not None and is_within(link, link.value, value)


def _is_calibrated_at(history: ExportedHistory, links: Mapping[str, LinkState], places: Mapping[str, float]) -> bool:
    """Return whether a calibrated revision, neither corrected nor undone, is of some places of links."""
    undone = undone_revisions(history.activations, history.undos)
    return any(
        all(
            (value := calibrated_value(links[name], revision.position)) is not None
            and is_within(links[name], place, value)
            for name, place in places.items()
        )
        for revision in history.revisions
        if not is_model(revision)
        and revision.number not in undone
        and correction_of(history.corrections, revision.number) is None
    )
