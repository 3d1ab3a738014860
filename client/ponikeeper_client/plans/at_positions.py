"""Several distances: each is measured when the IOC has followed the detector there, with what holds there."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from bluesky.protocols import Movable

from ponikeeper.errors import CalibrationError
from ponikeeper_client.device import calibrations
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans.arrival import TIMEOUT, Plan, arrive

_DARK = "dark"
"""The stream that the guard exempts."""


def at_positions(
    detectors: Sequence[Any],
    motor: Any,
    positions: Mapping[str, float],
    *,
    num: int = 1,
    per_position: Callable[..., Plan] | None = None,
    one_run: bool = False,
    timeout: float = TIMEOUT,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Go to one position after the other, wait until the geometry that holds there is in force, and measure.

    Parameters
    ----------
    detectors
        To expose.
    motor
        Moves them; its readback is one of the linked PVs. A detector that it is not linked to is fixed,
        where it is linked to another one.
    positions
        Where to go, by name: ``{"near": 200.0, "far": 1000.0}``.
    num
        How many exposures at each.
    per_position
        What to do there instead, as a plan of one run: is given the detectors and ``md=``.
    one_run
        Whether to take one run with a stream for each position, named like it; else one run each, which
        every reader of runs takes right.
    timeout
        How long to wait for a geometry to hold (s).
    md
        Metadata; each run's ``position`` is the name, too.

    Returns
    -------
    tuple of str
        The uids of the runs.

    Raises
    ------
    CalibrationError
        No geometry came to hold at a position in time: says what was waited for, and what was there instead;
        or something that was asked for cannot be measured: nothing has moved then.
    RecordError
        A run would not be recorded with the right geometry.
    """
    check(detectors, motor, positions, num, per_position, one_run)
    detectors = list(detectors)
    calibs = [calib for detector in detectors for calib in calibrations(detector)]
    if not calibs:
        names = ", ".join(detector.name for detector in detectors) or "nothing"
        raise CalibrationError(f"{names} has no calibration that could follow: expected detectors with CalibrationData")
    measure = partial(bp.count, [*detectors, motor], num) if per_position is None else partial(per_position, detectors)
    metadata = {"plan_name": "at_positions", "positions": dict(positions), **(md or {})}

    def visit(name: str) -> Plan:
        yield from arrive(motor, positions[name], calibs, timeout)

    def streams() -> Plan:
        for name in positions:
            yield from visit(name)
            for _ in range(num):
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([*detectors, motor], name=name)

    def runs() -> Plan:
        uids: list[str] = []
        for name in positions:
            yield from visit(name)
            uids.append((yield from calibration_guard(measure(md={**metadata, "position": name}))))
        return tuple(uids)

    if not one_run:
        return (yield from runs())
    one = bpp.stage_wrapper(bpp.run_wrapper(streams(), md=metadata), detectors)
    return ((yield from calibration_guard(one)),)


def check(
    detectors: Any, motor: Any, positions: Any, num: Any, per_position: Callable[..., Any] | None, one_run: bool
) -> None:
    """Refuse what cannot be measured; parameters as `at_positions`.

    Raises
    ------
    CalibrationError
        Says what was wrong and what to write instead.
    """
    _check_detectors(detectors)
    if not isinstance(motor, Movable):
        raise CalibrationError(f"motor={motor!r} is nothing that moves: expected a device, z, not its name")
    _check_positions(positions)
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise CalibrationError(f"num={num!r} is no number of exposures: expected 1, 2, ...")
    if one_run and per_position is not None:
        raise CalibrationError("one_run and per_position are both given: a plan of one run has no place in another run")
    if one_run and _DARK in positions:
        raise CalibrationError(
            f"a stream of the name {_DARK} is one of dark frames, which have no geometry: name that position otherwise"
        )
    if per_position is not None:
        _check_plan(per_position, detectors)


def _check_detectors(detectors: Any) -> None:
    if isinstance(detectors, str) or not hasattr(detectors, "__iter__"):
        shown = detectors if isinstance(detectors, str) else getattr(detectors, "name", repr(detectors))
        raise CalibrationError(f"detectors={shown} is no list: expected a list of devices, [{shown}]")
    texts = [detector for detector in detectors if isinstance(detector, str)]
    if texts:
        raise CalibrationError(f"{', '.join(texts)}: expected devices, not their names")


def _check_positions(positions: Any) -> None:
    expected = 'expected names and places, {"near": 200.0, "far": 1000.0}'
    if not positions:
        raise CalibrationError(f"no positions are given: {expected}")
    if not isinstance(positions, Mapping):
        raise CalibrationError(f"positions={positions!r} have no names: {expected}")
    for name, place in positions.items():
        if not (isinstance(name, str) and name):
            raise CalibrationError(f"{name!r} is no name of a position: {expected}")
        if not _is_number(place):
            raise CalibrationError(f"the position {name} is {place!r}: expected a number, in the motor's units")


def _is_number(place: Any) -> bool:
    """Tell numbers, numpy's too, from what only looks like one."""
    try:
        return not isinstance(place, (str, bytes, bool)) and math.isfinite(place)
    except TypeError:
        return False


def _check_plan(plan: Callable[..., Any], detectors: Any) -> None:
    try:
        inspect.signature(plan).bind(detectors, md={})
    except TypeError as error:
        name = getattr(plan, "__name__", repr(plan))
        raise CalibrationError(
            f"per_position={name} cannot be called as it has to be, {name}(detectors, md={{...}}): {error}"
        ) from error
