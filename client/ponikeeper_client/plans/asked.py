"""What `at_positions` is asked to do, looked at before anything moves: pure."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from bluesky.protocols import Movable

from ponikeeper.errors import CalibrationError

_DARK = "dark"
"""The stream that the guard exempts."""


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
