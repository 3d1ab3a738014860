"""The bluesky preprocessor: a geometry that changes during a run is recorded in a new descriptor, or the run fails."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, ensure_generator

from ponikeeper_client.device import CalibrationData, as_calibration
from ponikeeper_client.guard._messages import Guard, Plan
from ponikeeper_client.guard._policy import OnChange, OnStatus, Policy
from ponikeeper_client.guard._run_parts import RenewBy, chosen_way, has_configure_message

_CALIBRATE = "calibrate"
"""The plan that is always exempt: it is run because the active geometry does not apply."""


def calibration_guard(
    plan: Iterable[Msg],
    calibs: Iterable[CalibrationData] | None = None,
    *,
    on_change: OnChange = "new_descriptor",
    on_status: OnStatus = "warn",
    moving: Sequence[str] = (),
    exempt: Sequence[str] = (),
    each_rest: bool = False,
    renew_by: RenewBy | None = None,
) -> Plan:
    """Keep the recorded geometry of a plan's runs correct while they are running.

    For one plan, or for all plans: ``RE.preprocessors.append(calibration_guard)``, after the preprocessors that add
    readings. The guard checks the geometry before each exposure, before and after each reading, and at
    the end of the run. It ignores the runs of `calibrate`, streams named ``dark``, and runs without a
    calibrated detector.

    Before the first exposure of a run, and the first one after a move of the plan, it waits while a linked PV moves or
    settles, at most the settling time and 2 s, unless that is in `moving`. It does not wait before a dark frame: an
    event of `bps.trigger_and_read` in the stream ``dark``, or a trigger whose group contains ``dark``, as that of
    bluesky-darkframes does.

    The start document lists the guards of the run: recall knows by them that each change of the status was recorded.

    While a model is active, all positions of its links have one descriptor, as far as each event tells where these
    links are: they are read in the stream, or named in `moving`. `geometries` returns the geometry of each event.

    An event is recorded with the geometry that was active when it was read. Where this cannot be recorded
    (during a fly scan, or with streams of different devices), the run fails.

    Parameters
    ----------
    plan
        Any plan.
    calibs
        The calibrations to guard; if omitted, every `CalibrationData` of a detector that is staged or read.
    on_change
        What to do when the geometry changes during a run: ``"new_descriptor"`` records the next events with a
        new descriptor; ``"fail"`` fails the run; ``"warn"`` records a new descriptor and logs a warning, and
        where a new descriptor is not possible it only logs the warning.
    on_status
        What to do when the geometry does not apply, or a link moves during an exposure: ``"warn"`` or ``"fail"``.
        The status is recorded in any case.
    moving
        Names of links that the plan moves on purpose: no warning is logged for them, except one for a link that is
        out of service, on which the status does not depend.
    exempt
        Names of plans whose runs are not guarded, such as alignments: of the plan itself, or as ``plan_name`` in the
        metadata of a run. Their detectors warn once, as without a guard.
    each_rest
        Record a new descriptor for each geometry that a model gives.
    renew_by
        How a new geometry is recorded: ``"configure"`` makes bluesky write a new descriptor; ``"new_run"`` closes the
        run and opens another one with the same metadata and the uid of the closed one as ``continues_run``, also where
        ``calibration_md`` in the start document is not the geometry of the next event; staged devices that write files
        are staged again. If omitted, configure, unless this bluesky does not have that message.

    Returns
    -------
    Plan
        The guarded plan.

    Raises
    ------
    RecordError
        The record would not be correct, or the run was to fail (`on_change`, `on_status`).
    NotConnectedError
        The IOC does not answer (unless the device records that, see ``on_disconnect``).
    ValueError
        An argument is not allowed.

    Examples
    --------
    >>> RE(calibration_guard(bp.scan([detector], stage, 200, 1000, 5), moving=["z"]))
    """
    if not isinstance(plan, Iterable):
        name = getattr(plan, "__name__", repr(plan))
        raise ValueError(f"{name} is a function, not a plan: expected its result, {name}(...)")
    if on_change not in ("new_descriptor", "fail", "warn"):
        raise ValueError(f'on_change={on_change!r} is unknown: expected "new_descriptor", "fail" or "warn"')
    if on_status not in ("warn", "fail"):
        raise ValueError(f'on_status={on_status!r} is unknown: expected "warn" or "fail"')
    exempt_plans = (_CALIBRATE, *_checked_names("exempt", exempt, 'names of plans, ["align"]'))
    way = chosen_way(renew_by, has_configure=has_configure_message())
    policy = Policy(on_change, on_status, _checked_names("moving", moving, 'names of links, ["z"]'), each_rest, way)
    guard = Guard(_checked_calibs(calibs), policy, exempt_plans)
    if getattr(plan, "__name__", None) in exempt_plans:
        return ensure_generator(plan)
    guarded: Any = bpp.subs_wrapper(_guarded(plan, guard), {"all": [guard.record]})
    guarded.__name__ = getattr(plan, "__name__", guarded.__name__)  # bluesky writes it into the run as plan_name
    return guarded


def _checked_calibs(calibs: Any) -> tuple[CalibrationData, ...] | None:
    """Check the calibrations to guard; raises `ValueError`."""
    if calibs is None:
        return None
    if not isinstance(calibs, Iterable):
        name = getattr(calibs, "name", calibs)
        what = "one calibration" if as_calibration(calibs) is not None else "not a list"
        raise ValueError(f"calibs={name} is {what}: expected a list of CalibrationData, [pe1.calib]")
    chosen = tuple(calibs)
    if not chosen:
        raise ValueError("calibs is empty, so nothing would be guarded: omit it to guard every calibration")
    known = tuple(filter(None, map(as_calibration, chosen)))
    if len(known) != len(chosen):
        raise ValueError(f"calibs={chosen!r} are not all calibrations: expected a list of CalibrationData, [pe1.calib]")
    return known


def _checked_names(argument: str, names: Any, expected: str) -> tuple[str, ...]:
    """Check the names of an argument; raises `ValueError`."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(f"{argument}={names!r} is not a list: expected {expected}")
    checked = tuple(names)
    if not all(isinstance(name, str) for name in checked):
        raise ValueError(f"{argument}={checked!r} are not all names: expected {expected}")
    return checked


def _guarded(plan: Iterable[Msg], guard: Guard) -> Plan:
    """Pass each message of a plan through the guard; an error of the guard is raised in the plan."""
    inner = ensure_generator(plan)
    step = partial(inner.send, None)
    try:
        while True:
            try:
                msg = step()
            except StopIteration as stop:
                return stop.value
            try:
                response = yield from guard.handle(msg)
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # noqa: BLE001  # the plan has to clean up after any error
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, response)
    finally:
        guard.end()
