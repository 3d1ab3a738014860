"""Checks of the arguments of plans that move detectors to positions."""

import math
from collections.abc import Sequence
from typing import Any

from bluesky.protocols import Movable

from ponikeeper.errors import CalibrationError
from ponikeeper_client.device import CalibrationData, calibrations


def check_detectors(detectors: Any) -> None:
    """Check that detectors are a list of devices; raises `CalibrationError`."""
    if isinstance(detectors, str) or not hasattr(detectors, "__iter__"):
        text = detectors if isinstance(detectors, str) else getattr(detectors, "name", repr(detectors))
        raise CalibrationError(f"detectors={text} is not a list: expected a list of devices, [{text}]")
    texts = [detector for detector in detectors if isinstance(detector, str)]
    if texts:
        raise CalibrationError(f"{', '.join(texts)}: expected devices, not their names")


def check_motor(motor: Any) -> None:
    """Check that a motor can be moved; raises `CalibrationError`."""
    if not isinstance(motor, Movable):
        if isinstance(motor, str):
            raise CalibrationError(f"motor={motor!r} cannot be moved: expected a device such as z, not its name")
        text = getattr(motor, "name", repr(motor))
        raise CalibrationError(f"motor={text} cannot be moved: expected the motor that moves the detector")


def calibrations_of(detectors: Sequence[Any]) -> list[CalibrationData]:
    """Return the calibrations of detectors.

    Parameters
    ----------
    detectors
        Devices.

    Returns
    -------
    list of CalibrationData
        At least one.

    Raises
    ------
    CalibrationError
        They have none.
    """
    calibs = [calib for detector in detectors for calib in calibrations(detector)]
    if not calibs:
        names = ", ".join(detector.name for detector in detectors) or "nothing"
        raise CalibrationError(f"{names} has no calibration that could follow: expected detectors with CalibrationData")
    return calibs


def is_label(value: Any) -> bool:
    """Check whether a value can be the label of a revision: a text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_number(value: Any) -> bool:
    """Check whether a value is a finite number, of numpy too, and not a bool or a text."""
    try:
        return not isinstance(value, (str, bytes, bool)) and math.isfinite(value)
    except TypeError:
        return False
