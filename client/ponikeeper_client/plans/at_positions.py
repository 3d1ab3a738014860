"""The plan `at_positions`: measure at several detector positions, each with the geometry of that position."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp

from ponikeeper.errors import CalibrationError
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans._label_positions import positions_of
from ponikeeper_client.plans._model_range import require_geometries
from ponikeeper_client.plans._place_arguments import (
    calibrations_of,
    check_detectors,
    check_motor,
    is_label,
    is_number,
)
from ponikeeper_client.plans.arrival import TIMEOUT, Plan, move_and_follow

_DARK = "dark"
"""The stream that the guard ignores."""


def at_positions(
    detectors: Sequence[Any],
    motor: Any,
    positions: Mapping[str, float] | Sequence[str],
    *,
    num: int = 1,
    per_position: Callable[..., Plan] | None = None,
    one_run: bool = False,
    timeout: float = TIMEOUT,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Move to one position after the other, wait until the geometry applies there, and measure.

    The geometry of a position is the one that was calibrated there, or the one that the active model gives.

    Parameters
    ----------
    detectors
        The detectors to expose.
    motor
        The motor that moves them; its readback is one of the linked PVs. If it is linked to some of the
        detectors, the others are taken to be fixed.
    positions
        Labels of revisions, ``["near", "far"]``: where to move, the histories of the detectors say. Or positions by any
        name: ``{"near": 200.0, "far": 1000.0}`` (the motor's units).
    num
        Number of exposures at each position.
    per_position
        The plan to run at each position instead of exposures, a plan of one run; it is called with the
        detectors and ``md=``.
    one_run
        Whether to take one run with a stream for each position, named like it; else one run each, which all
        readers of runs support.
    timeout
        How long to wait until the geometry applies (s).
    md
        Metadata of the runs; the name of the position is added as ``position``.

    Returns
    -------
    tuple of str
        The uids of the runs.

    Raises
    ------
    CalibrationError
        An argument is not allowed, a label means no revision with a position of the motor, or the active model does
        not hold at a position where nothing was calibrated (then nothing has moved); or the geometry did not apply
        at a position: the message says what it was instead.
    RecordError
        A run would not be recorded with the right geometry.

    Examples
    --------
    >>> RE(at_positions([detector], stage, ["near", "far"], num=10))
    >>> RE(at_positions([detector], stage, {"near": 200.0, "far": 1000.0}, num=10))
    """
    _check_arguments(detectors, motor, positions, num, per_position, one_run)
    detectors = list(detectors)
    calibs = calibrations_of(detectors)
    positions = positions if isinstance(positions, Mapping) else positions_of(list(positions), motor, calibs)
    require_geometries(motor, positions, calibs)
    measure = partial(bp.count, [*detectors, motor], num) if per_position is None else partial(per_position, detectors)
    metadata = {"plan_name": "at_positions", "positions": dict(positions), **(md or {})}

    def move_to(name: str) -> Plan:
        yield from move_and_follow(motor, positions[name], calibs, timeout)

    def streams() -> Plan:
        for name in positions:
            yield from move_to(name)
            for _ in range(num):
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([*detectors, motor], name=name)

    def runs() -> Plan:
        uids: list[str] = []
        for name in positions:
            yield from move_to(name)
            uids.append((yield from calibration_guard(measure(md={**metadata, "position": name}))))
        return tuple(uids)

    if not one_run:
        return (yield from runs())
    single = bpp.stage_wrapper(bpp.run_wrapper(streams(), md=metadata), detectors)
    return ((yield from calibration_guard(single)),)


def _check_arguments(
    detectors: Any, motor: Any, positions: Any, num: Any, per_position: Callable[..., Any] | None, one_run: bool
) -> None:
    """Check the arguments of `at_positions`; raises `CalibrationError`."""
    check_detectors(detectors)
    check_motor(motor)
    _check_positions(positions)
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise CalibrationError(f"num={num!r} is not allowed: expected a number of exposures, 1 or more")
    if one_run and per_position is not None:
        raise CalibrationError(
            "one_run and per_position are both given, but a plan of one run cannot be part of another run: omit one"
        )
    if one_run and _DARK in positions:
        raise CalibrationError(
            f"the name {_DARK} is reserved for streams of dark frames, which have no geometry: choose another name "
            "for that position"
        )
    if per_position is not None:
        _check_plan(per_position, detectors)


def _check_positions(positions: Any) -> None:
    expected = 'expected labels, ["near", "far"], or names and positions, {"near": 200.0, "far": 1000.0}'
    if isinstance(positions, str):
        raise CalibrationError(f"positions={positions!r} is not a list: expected [{positions!r}]")
    if not positions:
        raise CalibrationError(f"no positions are given: {expected}")
    if not isinstance(positions, Mapping):
        labels = list(positions) if isinstance(positions, Sequence) else []
        if not labels or not all(map(is_label, labels)):
            raise CalibrationError(f"positions={positions!r} have no names: {expected}")
        if len(set(labels)) < len(labels):
            raise CalibrationError(f"positions={positions!r}: each label can be given once")
        return
    for name, position in positions.items():
        if not is_label(name):
            raise CalibrationError(f"{name!r} is not a name of a position: {expected}")
        if not is_number(position):
            raise CalibrationError(f"the position {name} is {position!r}: expected a number, in the motor's units")


def _check_plan(plan: Callable[..., Any], detectors: Any) -> None:
    try:
        inspect.signature(plan).bind(detectors, md={})
    except TypeError as error:
        name = getattr(plan, "__name__", repr(plan))
        raise CalibrationError(
            f"per_position={name} must accept the call {name}(detectors, md={{...}}): {error}"
        ) from error
