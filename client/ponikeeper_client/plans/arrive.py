"""The plan stub `arrive`: move a detector to a position, and wait until the geometry applies there."""

from typing import Any

from ponikeeper.errors import CalibrationError
from ponikeeper_client.plans._label_positions import own_motor, positions_of
from ponikeeper_client.plans._model_range import require_geometries
from ponikeeper_client.plans._place_arguments import (
    calibrations_of,
    check_detectors,
    check_motor,
    is_label,
    is_number,
)
from ponikeeper_client.plans.arrival import TIMEOUT, Plan, move_and_follow


def arrive(detectors: Any, position: str | float, motor: Any = None, *, timeout: float = TIMEOUT) -> Plan:
    """Move a detector to where it was calibrated, and wait until the geometry applies there: a stub for own plans.

    Parameters
    ----------
    detectors
        The detector, or a list of those that the motor moves. If the motor is linked to some of them, the others are
        taken to be fixed.
    position
        The label of a revision: the position that the history has of it; or a number (the motor's units).
    motor
        The motor that moves them; its readback is one of the linked PVs. If omitted, the component of the detector of
        which this is so.
    timeout
        How long to wait until the geometry applies (s).

    Returns
    -------
    float
        Where the motor was moved.

    Raises
    ------
    CalibrationError
        An argument is not allowed, the label means no revision with a position of the motor, or the active model does
        not hold there (then nothing has moved); or the geometry did not apply in time: the message has the reason.
    NotConnectedError
        The IOC does not answer.

    Examples
    --------
    >>> def near():
    ...     yield from arrive(detector, "near", stage)
    ...     yield from bp.count([detector])
    """
    moved = [detectors] if hasattr(detectors, "name") else detectors
    check_detectors(moved)
    moved = list(moved)
    if not (is_label(position) or is_number(position)):
        raise CalibrationError(f'position={position!r}: expected the label of a revision, "near", or a number')
    calibs = calibrations_of(moved)
    motor = own_motor(moved, calibs) if motor is None else motor
    check_motor(motor)
    places = positions_of([position], motor, calibs) if isinstance(position, str) else {f"{position:g}": position}
    require_geometries(motor, places, calibs)
    (place,) = places.values()
    yield from move_and_follow(motor, place, calibs, timeout)
    return place
