"""Where a motor has to be for the revisions that labels mean: where these were calibrated."""

from collections.abc import Sequence
from typing import Any

from bluesky.protocols import Movable
from ophyd import Device

from ponikeeper.errors import CalibrationError, RefusedError
from ponikeeper.protocol import LinkState, calibrated_value, is_within
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans.arrival import in_units_of_link, in_units_of_pv, linked_readbacks

_AS_NUMBERS = 'give the position as a number, {"near": 200.0}'


def positions_of(labels: Sequence[str], motor: Any, calibs: Sequence[CalibrationData]) -> dict[str, float]:
    """Look up in the histories where the revisions that labels mean were calibrated.

    Parameters
    ----------
    labels
        Labels of revisions.
    motor
        A motor whose readback is one of the linked PVs.
    calibs
        The calibrations of the detectors. Those to which the motor is not linked belong to fixed detectors, and are not
        asked.

    Returns
    -------
    dict of str to float
        By label (the motor's units).

    Raises
    ------
    CalibrationError
        A label means no revision, or one without a position of the motor; or detectors were calibrated at different
        positions.
    NotConnectedError
        An IOC does not answer.
    """
    linked = [(calib, *link) for calib in calibs if (link := _link_of(calib, motor)) is not None]
    if not linked:
        names = ", ".join(calib.name for calib in calibs)
        raise CalibrationError(
            f"{motor.name} is not a link of {names}, so no label says where it has to be: {_AS_NUMBERS}"
        )
    problems: list[str] = []
    positions: dict[str, float] = {}
    for label in labels:
        places: dict[str, float] = {}
        for calib, link, readback in linked:
            place = _place(calib, label, link, readback)
            if isinstance(place, str):
                problems.append(f"{calib.name}: {place}")
                continue
            contrary = [
                f"{other} was calibrated at {there:g}"
                for other, there in places.items()
                if not is_within(link, in_units_of_link(there, readback, link), in_units_of_link(place, readback, link))
            ]
            if contrary:
                problems.append(f"{label}: {calib.name} was calibrated at {place:g}, {contrary[0]}: {_AS_NUMBERS}")
            places[calib.name] = place
        if places:
            positions[label] = next(iter(places.values()))
    if problems:
        raise CalibrationError([f"{problem}; nothing has moved" for problem in problems])
    return positions


def own_motor(detectors: Sequence[Any], calibs: Sequence[CalibrationData]) -> Any:
    """Return the component of a detector that moves it.

    Parameters
    ----------
    detectors
        The detectors.
    calibs
        Their calibrations.

    Returns
    -------
    Device
        The only component that can be moved and whose readback is one of the linked PVs.

    Raises
    ------
    CalibrationError
        There is none, or there are several.
    """
    parts = [part for each in detectors if isinstance(each, Device) for _, part in each.walk_subdevices()]
    motors: list[Any] = [
        part
        for part in parts
        if isinstance(part, Movable)
        and not isinstance(part, CalibrationData)
        and any(linked_readbacks(part, calib.read_links(all_links=True)) for calib in calibs)
    ]
    if len(motors) != 1:
        listed = ", ".join(motor.name for motor in motors) or "none"
        names = ", ".join(detector.name for detector in detectors)
        raise CalibrationError(f"components of {names} that are motors and linked: {listed}; give motor=, the stage")
    return motors[0]


def _link_of(calib: CalibrationData, motor: Any) -> tuple[LinkState, Any] | None:
    """Return the link that a motor moves, with its PV; None where the motor is not linked.

    Raises
    ------
    CalibrationError
        Several links are PVs of the motor, and it is not clear which one is its position.
    """
    links = {link.name: link for link in calib.read_links(all_links=True)}  # one out of service is an error of the move
    readbacks = linked_readbacks(motor, list(links.values()))
    position = getattr(motor, "position", None)
    if len(readbacks) > 1:
        readbacks = {name: signal for name, signal in readbacks.items() if signal.get() == position}
        if len(readbacks) != 1:
            raise CalibrationError(f"several links of {calib.name} are PVs of {motor.name}: {_AS_NUMBERS}")
    return next(((links[name], signal) for name, signal in readbacks.items()), None)


def _place(calib: CalibrationData, label: str, link: LinkState, readback: Any) -> float | str:
    """Return where a detector was calibrated for a label (the motor's units), or why that is not known."""
    try:
        revision = calib.labelled(label)
    except RefusedError as error:
        return str(error)
    name = f"revision {revision.number}, labelled {label},"
    if is_model(revision):
        return f"{name} is a model, which has a geometry at many positions: {_AS_NUMBERS}"
    value = calibrated_value(link, revision.position)
    if value is None:
        return f"{name} was committed without a position of {link.name} ({link.pv}): {_AS_NUMBERS}"
    return in_units_of_pv(value, readback, link)
