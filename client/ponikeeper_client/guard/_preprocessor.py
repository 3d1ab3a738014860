"""A preprocessor that keeps a run's record of the geometry true: a change is recorded anew, or fails the run."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, ensure_generator

from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard._messages import Guard, Plan
from ponikeeper_client.guard._policy import Judge, OnChange, OnStatus


def calibration_guard(
    plan: Iterable[Msg],
    calibs: Iterable[CalibrationData] | None = None,
    *,
    on_change: OnChange = "new_descriptor",
    on_status: OnStatus = "warn",
    moving: Sequence[str] = (),
) -> Plan:
    """Keep what the runs of a plan record of the geometry true while they go on.

    For one plan, or for all: ``RE.preprocessors.append(calibration_guard)``, after the others. It looks
    before each exposure, before and after each reading, and at the end of the run. The runs of
    `calibrate`, streams named ``dark``, and runs without a calibrated detector are left alone.

    An event carries the geometry that was in force when it was read. Where that cannot be recorded
    (a flyer that was under way, streams of different devices) the run fails.

    Parameters
    ----------
    plan
        Any plan.
    calibs
        What to guard; left out, each `CalibrationData` of a detector that is staged or read.
    on_change
        What a geometry that changes during a run does: a new descriptor, with which the next events are
        recorded; or the run fails; or a new descriptor, with a warning, and where that is not possible
        the warning alone.
    on_status
        What a status that is not VALID does, or a link that moves during an exposure. It is recorded
        in any case.
    moving
        Names of links that the plan scans on purpose: that they are elsewhere is nothing to warn of.

    Raises
    ------
    RecordError
        The record would not be true, or the run was to fail.
    NotConnectedError
        The IOC does not answer (unless the device is to record that).
    ValueError
        An argument is unknown.
    """
    if not isinstance(plan, Iterable):
        name = getattr(plan, "__name__", repr(plan))
        raise ValueError(f"{name} is no plan: expected what it gives, {name}(...)")
    if on_change not in ("new_descriptor", "fail", "warn"):
        raise ValueError(f'on_change={on_change!r} is unknown: expected "new_descriptor", "fail" or "warn"')
    if on_status not in ("warn", "fail"):
        raise ValueError(f'on_status={on_status!r} is unknown: expected "warn" or "fail"')
    guard = Guard(_chosen(calibs), Judge(on_change, on_status, _names(moving)))
    guarded: Any = bpp.subs_wrapper(_guarded(plan, guard), {"all": [guard.records]})
    guarded.__name__ = getattr(plan, "__name__", guarded.__name__)  # bluesky writes it into the run as plan_name
    return guarded


def _chosen(calibs: Any) -> tuple[CalibrationData, ...] | None:
    """Give the calibrations that are named; raises `ValueError` where they are none."""
    if calibs is None:
        return None
    if not isinstance(calibs, Iterable):
        name = getattr(calibs, "name", calibs)
        what = "one calibration" if isinstance(calibs, CalibrationData) else "no list"
        raise ValueError(f"calibs={name} is {what}: expected a list of CalibrationData, [pe1.calib]")
    chosen = tuple(calibs)
    if not chosen:
        raise ValueError("calibs is empty: nothing would be guarded; left out, each that is read is")
    if not all(isinstance(calib, CalibrationData) for calib in chosen):
        raise ValueError(f"calibs={chosen!r} are not all calibrations: expected a list of CalibrationData, [pe1.calib]")
    return chosen


def _names(moving: Any) -> tuple[str, ...]:
    """Give names of links; raises `ValueError` where they are none."""
    if isinstance(moving, str) or not isinstance(moving, Iterable):
        raise ValueError(f'moving={moving!r} is no list: expected names of links, ["z"]')
    names = tuple(moving)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f'moving={names!r} are not all names: expected names of links, ["z"]')
    return names


def _guarded(plan: Iterable[Msg], guard: Guard) -> Plan:
    """Let each message pass through the guard; what goes wrong there is raised in the plan."""
    inner = ensure_generator(plan)
    step = partial(inner.send, None)
    try:
        while True:
            try:
                msg = step()
            except StopIteration as stop:
                return stop.value
            try:
                answer = yield from guard.handle(msg)
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # noqa: BLE001  # the plan has to clean up, whatever it is
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, answer)
    finally:
        guard.end()
