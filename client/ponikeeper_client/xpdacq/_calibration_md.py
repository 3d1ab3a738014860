"""The preprocessor `calibration_md_wrapper`: xpdAcq's ``calibration_md`` in the start document of each run."""

import logging
import time
from collections.abc import Generator, Iterable, Mapping
from typing import Any, Literal

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, ensure_generator

from ponikeeper.errors import RecordError
from ponikeeper.protocol import Snapshot, applies
from ponikeeper_client._motion import is_unsettled
from ponikeeper_client.device import CalibrationData, calibrations
from ponikeeper_client.documents import CALIBRATION_MD, calibration_md
from ponikeeper_client.documents import CALIBRATION_MD_SOURCE as SOURCE
from ponikeeper_client.documents import calibrations as recorded_calibrations

Plan = Generator[Msg, Any, Any]
OnStatus = Literal["omit", "write", "fail"]

CLIENT_UID, SERVER_UID = "detector_calibration_client_uid", "detector_calibration_server_uid"
"""Keys by which xpdAcq's reducers find the calibration run of a run: the same text in both."""

_IS_CALIBRATION, _CALIBRATE = "is_calibration", "calibrate"
_MOTION_TIME = 2.0
"""How long to wait for a link before a run, in addition to its settling time (s)."""
_POLL_PERIOD = 0.05

log = logging.getLogger("ponikeeper_client.xpdacq")


def calibration_md_wrapper(
    plan: Iterable[Msg],
    calib: CalibrationData | None = None,
    *,
    on_status: OnStatus = "omit",
    exp_hash_uid: str | None = None,
) -> Plan:
    """Write xpdAcq's ``calibration_md`` into the start document of each run of a plan.

    For one plan, or for all plans: ``RE.preprocessors.append(calibration_md_wrapper)``. A run that already has
    ``calibration_md``, or is a calibration (of the plan `calibrate`, or with ``is_calibration``), gets none.

    A start document is written once, when the run begins: before that it waits while a linked PV moves or settles, at
    most the settling time and 2 s. Where the run then records another geometry, or that this one does not apply, a
    warning is logged. The descriptors have the right one.

    Parameters
    ----------
    plan
        Any plan.
    calib
        The calibration to write into each run; if omitted, that of the one detector that is staged when the run begins.
        Of several it is not known which is meant: none is written, and a warning is logged.
    on_status
        What to do where the geometry does not apply: ``"omit"`` logs a warning and writes no ``calibration_md``, so
        that a reducer finds no geometry rather than a wrong one; ``"write"`` logs a warning and writes it;
        ``"fail"`` fails the plan before the run begins.
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
        The geometry does not apply, and `on_status` is ``"fail"``.
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
    if calib is not None and not isinstance(calib, CalibrationData):
        raise ValueError(f"calib={calib!r} is no calibration: expected a CalibrationData, pe1.calib")
    writer = _Writer(calib, on_status, exp_hash_uid)
    written: Any = bpp.subs_wrapper(bpp.plan_mutator(ensure_generator(plan), writer.handle), {"all": [writer.check]})
    written.__name__ = getattr(plan, "__name__", written.__name__)  # bluesky writes it into the run as plan_name
    return written


class _Writer:
    """Writes into the runs of one plan, and compares what they record; parameters as `calibration_md_wrapper`."""

    def __init__(self, calib: CalibrationData | None, on_status: OnStatus, exp_hash_uid: str | None) -> None:
        self._calib, self._on_status, self._uid = calib, on_status, exp_hash_uid
        self._opened: Msg | None = None
        self._staged: dict[Any, list[CalibrationData]] = {}
        self._written: dict[str, tuple[CalibrationData, Snapshot]] = {}  # by run

    def handle(self, msg: Msg) -> tuple[Plan | None, None]:
        """Note which detectors are staged, and replace the message that opens a run."""
        if msg.command == "stage":
            self._staged[msg.obj] = calibrations(msg.obj)
        elif msg.command == "unstage":
            self._staged.pop(msg.obj, None)
        elif msg.command == "open_run" and msg is not self._opened and SOURCE not in msg.kwargs:
            return self._open_run(msg), None
        return None, None

    def _open_run(self, msg: Msg) -> Plan:
        is_calibration = _IS_CALIBRATION in msg.kwargs or msg.kwargs.get("plan_name") == _CALIBRATE
        metadata: dict[str, Any] = {}
        if self._uid is not None:
            metadata = dict.fromkeys((CLIENT_UID, *([SERVER_UID] if is_calibration else [])), self._uid)
        calib = None if is_calibration or CALIBRATION_MD in msg.kwargs else self._calibration()
        if calib is None:
            return (yield from self._with_metadata(msg, metadata))
        yield from _wait_for_rest(calib)
        snapshot = calib.recorded_snapshot()
        is_written = self._may_write(calib, snapshot)
        metadata[SOURCE] = _source(calib, snapshot, is_written=is_written)
        if is_written and snapshot.geometry is not None:
            metadata[CALIBRATION_MD] = calibration_md(snapshot.geometry)
        uid = yield from self._with_metadata(msg, metadata)
        if is_written:
            self._written[uid] = calib, snapshot
        return uid

    def _with_metadata(self, msg: Msg, metadata: Mapping[str, Any]) -> Plan:
        self._opened = msg._replace(kwargs={**msg.kwargs, **metadata})
        return (yield self._opened)

    def _calibration(self) -> CalibrationData | None:
        """Return the calibration of a run that begins; None if it has none, or it is not known which is meant."""
        if self._calib is not None:
            return self._calib
        calibs = list(dict.fromkeys(calib for of_device in self._staged.values() for calib in of_device))
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

    def check(self, name: str, document: Mapping[str, Any]) -> None:
        """Receive a document; log once in a run that it recorded something else than was written."""
        if name == "stop":
            self._written.pop(document["run_start"], None)
        if name != "descriptor" or document["run_start"] not in self._written:
            return
        calib, snapshot = self._written[document["run_start"]]
        for recorded in recorded_calibrations(document):
            if recorded.name != calib.name:
                continue
            values = recorded.values
            if values.get("serial") == snapshot.serial and (applies(values["status"]) or not applies(snapshot.status)):
                continue
            del self._written[document["run_start"]]
            log.warning(
                "%s: the stream %s is recorded with revision %s, %s, but %s of the run has revision %s: use the "
                "geometry of the descriptor",
                calib.name, document.get("name"), values.get("revision"), values.get("status"), CALIBRATION_MD,
                snapshot.revision,
            )  # fmt: skip
            return


def _wait_for_rest(calib: CalibrationData) -> Plan:
    """Wait while a linked PV moves or settles, for a limited time."""
    deadline: float | None = None
    while calib.recorded_snapshot().geometry is not None and is_unsettled(calib):
        if deadline is None:
            deadline = time.monotonic() + calib.read_settle() + _MOTION_TIME
        if time.monotonic() > deadline:
            return
        yield Msg("sleep", None, _POLL_PERIOD)


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
