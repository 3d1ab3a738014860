"""Move a detector, and wait until the IOC has followed it to its new position."""

import shlex
import time
from collections.abc import Callable, Generator, Sequence
from fractions import Fraction
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.protocol import LinkState, Snapshot, applies, is_within, measures_beam
from ponikeeper.protocol.link_units import Egu, conversion, converted
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.models import STEP_PX, model_of, shift_px
from ponikeeper_client.device import CalibrationData

Plan = Generator[Msg, Any, Any]

TIMEOUT = 30.0
"""How long to wait until the geometry applies (s)."""

_HINT = "check that the detector was calibrated there and that Follow is on, or that a model holds there"

_POLL_PERIOD = 0.05


def move_and_follow(motor: Any, target: float, calibs: Sequence[CalibrationData], timeout: float = TIMEOUT) -> Plan:
    """Move a motor, and wait until each calibration applies at the new position.

    Parameters
    ----------
    motor
        A motor whose readback is one of the linked PVs.
    target
        Where to move it (the motor's units).
    calibs
        The calibrations to wait for.
    timeout
        How long to wait after the move (s).

    Raises
    ------
    CalibrationError
        The geometry did not apply in time, or the motor is not linked.
    """
    yield from _move([(motor, target)], calibs, timeout, _Move.inapplicable_reason, "a geometry that applies", _HINT)


def move_and_settle(motor: Any, target: float, calibs: Sequence[CalibrationData], timeout: float = TIMEOUT) -> Plan:
    """Move a motor, and wait until the IOC reports the links at rest there, whatever the status.

    Parameters and errors as `move_and_follow`.
    """
    yield from move_all_and_settle([(motor, target)], calibs, timeout)


def move_all_and_settle(
    targets: Sequence[tuple[Any, float]], calibs: Sequence[CalibrationData], timeout: float = TIMEOUT
) -> Plan:
    """Move several motors at once, and wait until the IOC reports the links at rest there, whatever the status.

    Parameters
    ----------
    targets
        Each motor, and where to move it (the motor's units).
    calibs, timeout
        As for `move_and_follow`, and so are the errors.
    """
    hint = "check whether it is still moving"
    yield from _move(targets, calibs, timeout, _Move.unsettled_reason, "links at rest", hint)


def _move(
    targets: Sequence[tuple[Any, float]],
    calibs: Sequence[CalibrationData],
    timeout: float,
    reason: Callable[["_Move"], str | None],
    condition: str,
    hint: str,
) -> Plan:
    """Move motors, and wait until no calibration has a reason against going on."""
    moves = [move for motor, _ in targets for move in _prepare(calibs, motor)]
    yield from bps.mv(*(part for target in targets for part in target))
    deadline = time.monotonic() + timeout
    place = ", ".join(f"{motor.name} at {target:g}" for motor, target in targets)
    for move in moves:
        while (why := reason(move)) is not None:
            if time.monotonic() > deadline:
                raise CalibrationError(
                    f"{move.calib.name}: timed out after {timeout:g} s waiting for {condition} with {place}: {why}; "
                    f"{hint}"
                )
            yield from bps.sleep(_POLL_PERIOD)


class _Move:
    """A calibration and a motor before a move: tells whether what the IOC reports belongs to the time after it."""

    def __init__(self, calib: CalibrationData, motor: Any) -> None:
        self.calib, self._motor, self.is_fixed = calib, motor, False
        links = calib.read_links(all_links=True)
        used = in_service(links)
        self.has_links = bool(used)
        self.readbacks = linked_readbacks(motor, used)
        signals = pv_signals(motor)
        self.ignored = [link for link in links if link not in used and link.pv in signals]
        self._position, self._serial = getattr(motor, "position", None), calib.read_snapshot().serial

    def inapplicable_reason(self) -> str | None:
        """Format why the geometry is not known to apply at the new position; None if it is."""
        if (why := self.unsettled_reason()) is not None:
            return why
        displaced = [link for link in self.calib.read_links() if not link.within]
        snapshot = self.calib.read_snapshot()
        if not applies(snapshot.status):
            return f"the status is {snapshot.status}, {snapshot.reason}"
        # without a readback among the links only a new serial proves that the IOC has followed the move
        moved = getattr(self._motor, "position", None) != self._position
        if moved and not (self.readbacks or self.is_fixed) and snapshot.serial == self._serial:
            return f"the serial is still {snapshot.serial}, and no link is a PV of {self._motor.name}"
        if displaced:
            return f"{displaced[0].name} ({displaced[0].pv}) is not where the active geometry was calibrated"
        return self._computed_elsewhere(snapshot)

    def _readback(self, link: LinkState) -> float:
        """Return the readback of the motor, in the units of its link."""
        signal = self.readbacks[link.name]
        return in_units_of_link(float(signal.get()), signal, link)

    def _computed_elsewhere(self, snapshot: Snapshot) -> str | None:
        """Format how far the geometry of an active model is from the one here; None where it is that of this position.

        A step within the tolerance of a link is a step to another geometry: the IOC computes it soon.
        """
        model = model_of(snapshot)
        if model is None or snapshot.geometry is None:
            return None
        links = self.calib.read_links()
        values = {link.name: link.value for link in links if link.value is not None}
        values |= {link.name: self._readback(link) for link in links if link.name in self.readbacks}
        shift = shift_px(model, snapshot.geometry, model.geometry_at(values))
        if shift <= STEP_PX:
            return None
        return f"the active geometry was computed for another position, its rings are {shift:.2g} px away"

    def unsettled_reason(self) -> str | None:
        """Format which link the IOC does not report at rest at the position of its PV; None if all are."""
        for link in self.calib.read_links():
            if link.unknown_because is not None:
                return link.unknown_because
            readback = self._readback(link) if link.name in self.readbacks else link.value
            if link.value is None or readback is None or not is_within(link, link.value, readback):
                return f"the IOC reports {link.name} ({link.pv}) at {link.value}, its readback is {readback}"
        return None


def _prepare(calibs: Sequence[CalibrationData], motor: Any) -> list[_Move]:
    """Read the state of all calibrations before a move.

    If the motor is linked to some of them, the others belong to fixed detectors.
    """
    moves = [_Move(calib, motor) for calib in calibs]
    linked = any(move.readbacks for move in moves)
    for move in moves:
        if move.ignored:  # its geometry stays where it is, and looks valid
            link, prefix = move.ignored[0], shlex.quote(move.calib.prefix)
            raise CalibrationError(
                f"{move.calib.name} does not follow {motor.name}: {link} is {link.out_of_service}; return it to "
                f"service: ponikeeper in-service {prefix} {link.name}"
            )
        move.is_fixed = linked and not move.readbacks
        if not (move.has_links or move.is_fixed):
            raise CalibrationError(
                f"{move.calib.name} does not follow {motor.name}: no links are configured for it in the IOC"
            )
    return moves


def linked_readbacks(motor: Any, links: Sequence[LinkState]) -> dict[str, Any]:
    """Return the signals of a device that are linked PVs.

    Parameters
    ----------
    motor
        A device, or a signal.
    links
        The links of a detector.

    Returns
    -------
    dict
        Signals by the names of the links.
    """
    signals = pv_signals(motor)
    return {link.name: signals[link.pv] for link in links if link.pv in signals}


def in_units_of_link(value: float, signal: Any, link: LinkState) -> float:
    """Convert a value of a linked PV as the IOC does.

    Parameters
    ----------
    value
        In the units of the PV.
    signal
        The PV; ophyd knows the units that it reports.
    link
        The link.

    Returns
    -------
    float
        In the units of the link; unchanged where the PV reports no units, or a word of the site.
    """
    factor = _factor(signal, link)
    return value if factor is None else converted(value, factor)


def in_units_of_pv(value: float, signal: Any, link: LinkState) -> float:
    """Convert a value of a link to the units of its PV: the inverse of `in_units_of_link`.

    Parameters
    ----------
    value
        In the units of the link.
    signal, link
        As for `in_units_of_link`.

    Returns
    -------
    float
        In the units of the PV.
    """
    factor = _factor(signal, link)
    return value if factor is None else converted(value, 1 / factor)


def _factor(signal: Any, link: LinkState) -> Fraction | None:
    """Return the factor from the value of a PV to the units of its link; None where nothing is to be converted."""
    units = (getattr(signal, "metadata", None) or {}).get("units")
    if not isinstance(units, str) or not units.strip():
        return None
    return conversion(Egu(units.strip(), is_cut=True), link.units, measures_beam=measures_beam(link))


def pv_signals(motor: Any) -> dict[str, Any]:
    """Return the signals of a device by their PVs; those of the device itself if it has no components."""
    signals = [motor]
    if hasattr(motor, "walk_signals"):
        signals = [walked.item for walked in motor.walk_signals(include_lazy=False)]
    return {signal.pvname: signal for signal in signals if hasattr(signal, "pvname")}
