"""The preprocessor `calibration_md_wrapper`: xpdAcq's ``calibration_md`` in the start document of each run."""

import logging
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, ensure_generator

from ponikeeper.errors import RecordError
from ponikeeper.protocol import Snapshot, applies
from ponikeeper_client._motion import is_unsettled
from ponikeeper_client.device import CalibrationData, as_calibration, calibrations
from ponikeeper_client.documents import CALIBRATION_MD, CONTINUES_KEY, calibration_md
from ponikeeper_client.documents import CALIBRATION_MD_SOURCE as SOURCE

Plan = Generator[Msg, Any, Any]
OnStatus = Literal["omit", "write", "fail"]
OnChange = Literal["warn", "fail"]

CLIENT_UID, SERVER_UID = "detector_calibration_client_uid", "detector_calibration_server_uid"
"""Keys by which xpdAcq's reducers find the calibration run of a run: the same text in both."""

_IS_CALIBRATION, _CALIBRATE, _DARK = "is_calibration", "calibrate", "dark"
_MOTION_TIME = 2.0
"""How long to wait for a link before a run, in addition to its settling time (s)."""
_POLL_PERIOD = 0.05

log = logging.getLogger("ponikeeper_client.xpdacq")


def calibration_md_wrapper(
    plan: Iterable[Msg],
    calib: CalibrationData | None = None,
    *,
    on_status: OnStatus = "omit",
    on_change: OnChange = "warn",
    exp_hash_uid: str | None = None,
) -> Plan:
    """Write xpdAcq's ``calibration_md`` into the start document of each run of a plan.

    For one plan, or for all plans: ``RE.preprocessors.append(calibration_md_wrapper)``. A run that already has
    ``calibration_md``, or is a calibration (of the plan `calibrate`, or with ``is_calibration``), gets none.

    A start document is written once, when the run begins: before that it waits while a linked PV moves or settles, at
    most the settling time and 2 s. When the detector is then read while another geometry is active, or this one does
    not apply, who reads the start document only uses a wrong one (`on_change`). The descriptors have the right one. So
    that each start document is right, let the guard begin a new run for each geometry, and append this preprocessor
    after it: ``calibration_guard(plan, renew_by="new_run")``.

    Parameters
    ----------
    plan
        Any plan.
    calib
        Which calibration to write into runs of several calibrated detectors, and into those that stage none. A run of
        one detector gets its own. If omitted, it is not known which of several is meant: none is written, and a warning
        is logged.
    on_status
        What to do where the geometry does not apply: ``"omit"`` logs a warning and writes no ``calibration_md``, so
        that a reducer finds no geometry rather than a wrong one; ``"write"`` logs a warning and writes it;
        ``"fail"`` fails the plan before the run begins.
    on_change
        What to do when the detector is read with another geometry than ``calibration_md`` of its run has: ``"warn"``
        logs a warning, once in a run; ``"fail"`` fails the plan before this event is recorded.
    exp_hash_uid
        Where given, written as xpdAcq does: ``detector_calibration_client_uid`` into each run, and
        ``detector_calibration_server_uid`` into calibrations.

    Returns
    -------
    Plan
        The plan; its runs also have ``calibration_md_source``: revision, status, and whether it was written.

    Raises
    ------
    RecordError
        The geometry does not apply, and `on_status` is ``"fail"``, or ``RE.md`` has another ``calibration_md``; or it
        has changed, and `on_change` is ``"fail"``.
    NotConnectedError
        The IOC does not answer (unless the device records that, see ``on_disconnect``).
    ValueError
        An argument is not allowed.

    Examples
    --------
    >>> RE.preprocessors.append(functools.partial(calibration_md_wrapper, exp_hash_uid=glbl["exp_hash_uid"]))
    """
    if on_status not in ("omit", "write", "fail"):
        raise ValueError(f'on_status={on_status!r} is unknown: expected "omit", "write" or "fail"')
    if on_change not in ("warn", "fail"):
        raise ValueError(f'on_change={on_change!r} is unknown: expected "warn" or "fail"')
    chosen = as_calibration(calib)
    if calib is not None and chosen is None:
        text = repr(calib) if isinstance(calib, str) else getattr(calib, "name", repr(calib))
        raise ValueError(f"calib={text} is no calibration: expected a CalibrationData, pe1.calib")
    writer = _Writer(chosen, on_status, on_change, exp_hash_uid)
    mutated = bpp.plan_mutator(ensure_generator(plan), writer.handle)
    written: Any = bpp.subs_wrapper(mutated, {"start": [writer.receive]})
    written.__name__ = getattr(plan, "__name__", written.__name__)  # bluesky writes it into the run as plan_name
    return written


@dataclass
class _Run:
    """An open run.

    Parameters
    ----------
    uid
        Of its start document.
    calib, written
        What was written there; None if nothing was.
    warned
        Whether it was logged that it differs from what is read.
    stream
        Of the event that is being read.
    """

    uid: str
    calib: CalibrationData | None = None
    written: Snapshot | None = None
    warned: bool = False
    stream: str | None = None


class _Writer:
    """Writes into the runs of one plan, and compares what is read in them; parameters as `calibration_md_wrapper`."""

    def __init__(
        self, calib: CalibrationData | None, on_status: OnStatus, on_change: OnChange, exp_hash_uid: str | None
    ) -> None:
        self._calib, self._on_status, self._on_change, self._uid = calib, on_status, on_change, exp_hash_uid
        self._opened: Msg | None = None
        self._with_other = ""  # the newest run whose calibration_md is not from here
        self._staged: dict[Any, list[CalibrationData]] = {}
        self._calibrations: dict[Any, list[CalibrationData]] = {}
        self._runs: dict[Any, _Run] = {}

    def handle(self, msg: Msg) -> tuple[Plan | None, None]:
        """Note which detectors are staged, replace the message that opens a run, and check what is read in it."""
        run = self._runs.get(msg.run)
        if msg.command == "stage":
            self._staged[msg.obj] = calibrations(msg.obj)
        elif msg.command == "unstage":
            self._staged.pop(msg.obj, None)
        elif msg.command == "open_run" and msg is not self._opened and SOURCE not in msg.kwargs:
            return self._open_run(msg), None
        elif msg.command == "close_run":
            self._runs.pop(msg.run, None)
        elif run is not None and run.calib is not None and run.written is not None:
            if msg.command in ("create", "save", "drop"):
                run.stream = msg.kwargs.get("name") or next(iter(msg.args), None)
            elif msg.command in ("read", "kickoff", "collect") and self._compares(run, msg):
                return self._compared(run, run.calib, run.written, msg), None
        return None, None

    def _open_run(self, msg: Msg) -> Plan:
        is_calibration = _IS_CALIBRATION in msg.kwargs or msg.kwargs.get("plan_name") == _CALIBRATE
        metadata: dict[str, Any] = {}
        if self._uid is not None:
            metadata = dict.fromkeys((CLIENT_UID, *([SERVER_UID] if is_calibration else [])), self._uid)
        calib = None if is_calibration or CALIBRATION_MD in msg.kwargs else self._calibration()
        if calib is None:
            uid = yield from self._with_metadata(msg, metadata)
            self._runs[msg.run] = _Run(uid)
            return uid
        yield from _wait_for_rest(calib)
        snapshot = calib.recorded_snapshot()
        is_written = self._may_write(calib, snapshot)
        metadata[SOURCE] = _source(calib, snapshot, is_written=is_written)
        if is_written and snapshot.geometry is not None:
            metadata[CALIBRATION_MD] = calibration_md(snapshot.geometry)
        uid = yield from self._with_metadata(msg, metadata)
        self._runs[msg.run] = _Run(uid, calib, snapshot if is_written else None)
        if not is_written and uid == self._with_other:
            raise RecordError(
                f"{calib.name}: the status is {snapshot.status}, so the run should have no {CALIBRATION_MD}, but got "
                f'that of RE.md: del RE.md["{CALIBRATION_MD}"]'
            )
        return uid

    def _with_metadata(self, msg: Msg, metadata: Mapping[str, Any]) -> Plan:
        self._opened = msg._replace(kwargs={**msg.kwargs, **metadata})
        return (yield self._opened)

    def _calibration(self) -> CalibrationData | None:
        """Return the calibration of a run that begins; None if it has none, or it is not known which is meant."""
        calibs = list(dict.fromkeys(calib for of_device in self._staged.values() for calib in of_device))
        if self._calib is not None and (not calibs or self._calib in calibs):
            return self._calib
        if len(calibs) > 1:
            names = ", ".join(calib.name for calib in calibs)
            log.warning(
                "%s of the run is omitted: it has one geometry, not those of %s; give calib=", CALIBRATION_MD, names
            )
        return calibs[0] if len(calibs) == 1 else None

    def _may_write(self, calib: CalibrationData, snapshot: Snapshot) -> bool:
        """Check the status of a geometry: whether to write it.

        Raises
        ------
        RecordError
            It does not apply, and that is to fail the plan.
        """
        if applies(snapshot.status):
            return True
        reason = f", {snapshot.reason}" if snapshot.reason else ""
        problem = f"{calib.name}: the status is {snapshot.status}{reason}"
        if self._on_status == "fail":
            raise RecordError(f'{problem}; on_status of calibration_md_wrapper is "fail"')
        is_written = self._on_status == "write" and snapshot.geometry is not None
        what = "has this geometry" if is_written else "is omitted"
        log.warning("%s: %s of the run %s", problem, CALIBRATION_MD, what)
        return is_written

    def _compares(self, run: _Run, msg: Msg) -> bool:
        """Return whether a message reads the detector, so that its geometry must be that of the start document."""
        if run.warned or (msg.command == "read" and run.stream in (None, _DARK)):
            return False
        if msg.obj not in self._calibrations:
            self._calibrations[msg.obj] = calibrations(msg.obj)
        return run.calib in self._calibrations[msg.obj]

    def _compared(self, run: _Run, calib: CalibrationData, written: Snapshot, msg: Msg) -> Plan:
        """Log a difference once in a run, or fail the plan; then pass the message on."""
        now = calib.recorded_snapshot()
        is_other = (now.serial, now.uid) != (written.serial, written.uid)
        if is_other or (applies(written.status) and not applies(now.status)):
            problem = (
                f"{calib.name}: {CALIBRATION_MD} of the run has {_named(written)}, but the detector is read with "
                f"{_named(now)}"
            )
            remedy = 'take one run for each geometry, calibration_guard(plan, renew_by="new_run")'
            if self._on_change == "fail":
                raise RecordError(f'{problem}; on_change of calibration_md_wrapper is "fail": {remedy}')
            run.warned = True
            log.warning("%s: use the geometry of the descriptor, or %s", problem, remedy)
        return (yield msg)

    def receive(self, _: str, document: Mapping[str, Any]) -> None:
        """Receive a start document; log that the guard continues a run outside of this preprocessor."""
        if CALIBRATION_MD in document and not (document.get(SOURCE) or {}).get("written"):
            self._with_other = document["uid"]
        continued = document.get(CONTINUES_KEY)
        for run in self._runs.values():
            if run.uid != continued:
                continue
            if run.written is not None:
                log.warning(
                    "run %s, which continues %s, has no %s: append calibration_md_wrapper to RE.preprocessors after "
                    "calibration_guard", document["uid"], continued, CALIBRATION_MD,
                )  # fmt: skip
            run.uid, run.written = document["uid"], None


def _wait_for_rest(calib: CalibrationData) -> Plan:
    """Wait while a linked PV moves or settles, for a limited time."""
    deadline: float | None = None
    while calib.recorded_snapshot().geometry is not None and is_unsettled(calib):
        if deadline is None:
            deadline = time.monotonic() + calib.read_settle() + _MOTION_TIME
        if time.monotonic() > deadline:
            return
        yield Msg("sleep", None, _POLL_PERIOD)


def _named(snapshot: Snapshot) -> str:
    label = f" {snapshot.label}" if snapshot.label else ""
    return f"revision {snapshot.revision}{label}, {snapshot.status}"


def _source(calib: CalibrationData, snapshot: Snapshot, *, is_written: bool) -> dict[str, Any]:
    """Return what the start document says about the geometry."""
    return {
        "calib": calib.name,
        "prefix": snapshot.prefix,
        "revision": snapshot.revision,
        "revision_uid": snapshot.uid or "",
        "serial": snapshot.serial,
        "label": snapshot.label or "",
        "status": snapshot.status,
        "reason": snapshot.reason,
        "written": is_written,
    }
