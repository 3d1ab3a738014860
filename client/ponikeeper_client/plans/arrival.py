"""Move a detector, and wait until the IOC has followed it there."""

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.protocol import is_within
from ponikeeper_client.device import CalibrationData

Plan = Generator[Msg, Any, Any]

TIMEOUT = 30.0
"""Seconds for which it is waited for a geometry to hold."""

_HINT = "was it calibrated there, and is Follow on?"

_PAUSE = 0.05


def arrive(motor: Any, place: float, calibs: Sequence[CalibrationData], timeout: float = TIMEOUT) -> Plan:
    """Move, and wait until the geometries that hold there are in force.

    Parameters
    ----------
    motor
        Its readback is one of the linked PVs.
    place
        Where to (the motor's units).
    timeout
        How long to wait once it is there (s).

    Raises
    ------
    CalibrationError
        No geometry came to hold in time, or the motor is linked to none.
    """
    yield from _moved(motor, place, calibs, timeout, _Departure.missing, "a geometry that holds", _HINT)


def rest_at(motor: Any, place: float, calibs: Sequence[CalibrationData], timeout: float = TIMEOUT) -> Plan:
    """Move, and wait until the IOC sees the links at rest there, whatever is in force; as `arrive`."""
    yield from _moved(motor, place, calibs, timeout, _Departure.unrest, "rest", "does it move still?")


def _moved(
    motor: Any,
    place: float,
    calibs: Sequence[CalibrationData],
    timeout: float,
    missing: Callable[["_Departure"], str | None],
    wanted: str,
    hint: str,
) -> Plan:
    departures = _departures(calibs, motor)
    yield from bps.mv(motor, place)
    deadline = time.monotonic() + timeout
    for departure in departures:
        while (why := missing(departure)) is not None:
            if time.monotonic() > deadline:
                raise CalibrationError(
                    f"{departure.calib.name}: waited {timeout:g} s for {wanted} with {motor.name} at {place:g}: "
                    f"{why}; {hint}"
                )
            yield from bps.sleep(_PAUSE)


class _Departure:
    """How a calibration and a motor stood before a move; what the IOC says is of after it where that fits."""

    def __init__(self, calib: CalibrationData, motor: Any) -> None:
        self.calib, self._motor, self.is_fixed = calib, motor, False
        links = calib.read_links()
        self.has_links = bool(links)
        signals = {signal.pvname: signal for signal in _signals(motor) if hasattr(signal, "pvname")}
        self.readbacks = {link.name: signals[link.pv] for link in links if link.pv in signals}
        self._place, self._serial = getattr(motor, "position", None), calib.read_snapshot().serial

    def missing(self) -> str | None:
        """Say what is missing for the geometry to hold here; None where nothing is."""
        if (why := self.unrest()) is not None:
            return why
        off = [link for link in self.calib.read_links() if not link.within]
        snapshot = self.calib.read_snapshot()
        if snapshot.status != "VALID":
            return f"the status is {snapshot.status}, {snapshot.reason}"
        # without a readback among the links a new serial alone says that the IOC has seen the move
        moved = getattr(self._motor, "position", None) != self._place
        if moved and not (self.readbacks or self.is_fixed) and snapshot.serial == self._serial:
            return f"the serial is {snapshot.serial} still, and no link is a PV of {self._motor.name}"
        return f"{off[0].name} ({off[0].pv}) is not where the geometry holds" if off else None

    def unrest(self) -> str | None:
        """Say which link the IOC does not see at rest where it is; None where it sees all."""
        for link in self.calib.read_links():
            if link.doubt is not None:
                return link.doubt
            place = float(self.readbacks[link.name].get()) if link.name in self.readbacks else link.value
            if link.value is None or place is None or not is_within(link, link.value, place):
                return f"the IOC sees {link.name} ({link.pv}) at {link.value}, it is at {place}"
        return None


def _departures(calibs: Sequence[CalibrationData], motor: Any) -> list[_Departure]:
    """See how all stand before a move; where the motor is linked to some, those that it is not linked to are fixed."""
    found = [_Departure(calib, motor) for calib in calibs]
    moves = any(departure.readbacks for departure in found)
    for departure in found:
        departure.is_fixed = moves and not departure.readbacks
        if not (departure.has_links or departure.is_fixed):
            raise CalibrationError(
                f"{departure.calib.name} does not follow {motor.name}: the IOC's configuration has no links"
            )
    return found


def _signals(motor: Any) -> Sequence[Any]:
    if not hasattr(motor, "walk_signals"):
        return [motor]
    return [walked.item for walked in motor.walk_signals(include_lazy=False)]
