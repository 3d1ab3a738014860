"""The ophyd device of a detector's geometry: recorded whole in every run, set in one transaction."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import Status

from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.history import Revision
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.protocol import (
    Commit,
    LinkState,
    Request,
    Result,
    Snapshot,
    parse_extrapolate,
    parse_links,
    parse_settle,
)
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.links import in_service
from ponikeeper.protocol.pvs import setpoint
from ponikeeper.protocol.reduction import KEPT
from ponikeeper.system.file_hash import file_entry
from ponikeeper_client import _display
from ponikeeper_client._fakes import FakeIoc, FakeTextSignal
from ponikeeper_client._fresh_gets import Proof
from ponikeeper_client._geometry_sources import GeometrySource, values_of
from ponikeeper_client._guarded_signals import GuardedReadOnly, GuardedWritable
from ponikeeper_client._ioc_history import IocHistory
from ponikeeper_client._recording import Recording
from ponikeeper_client._request_methods import RequestMethods
from ponikeeper_client._signals import AliveSignal, ParameterSignal, SnapshotSignal, TextSignal
from ponikeeper_client._simulated_ioc import no_history
from ponikeeper_client._snapshots import SnapshotReader, prove_together
from ponikeeper_client._transactions import Transactor, manual, with_checked_files


def _parameter(name: str) -> Any:
    text = name == "detector"
    tolerance = None if text else 0.0
    return Cpt(ParameterSignal, setpoint(name), kind="config", lazy=True, string=text, tolerance=tolerance)


def _recorded() -> Any:
    return Cpt(SnapshotSignal, kind="config")


class CalibrationData(RequestMethods[Result], Recording):
    """The calibrated geometry of one detector, as it is active in the ponikeeper IOC.

    As a component with ``kind="config"`` it is recorded in the descriptor of each run. All values
    come from one snapshot, so a record never mixes two geometries.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``; as a component, the
        suffix that is appended to the prefix of its parent.
    timeout
        How long the IOC may take to answer (s).
    verdict_timeout
        How long to wait for the result of a request (s); long, because a disk may be slow.
    on_disconnect
        What to do when a run reads the configuration and the IOC does not answer: ``"raise"``
        `NotConnectedError`, or ``"record"`` the status UNKNOWN without values.
    per_event
        Whether each event has `serial` and `status`, too: a descriptor has those of one instant.
    **kwargs
        As for `ophyd.Device`: ``name``, ``kind``, ...

    Examples
    --------
    >>> class Detector(YourAreaDetector):
    ...     calib = Component(CalibrationData, "Calib:", kind="config")
    """

    # first, because it is then destroyed first
    snapshot = Cpt(TextSignal, "Snapshot_RBV", kind="omitted")

    dist = _parameter("dist")
    poni1 = _parameter("poni1")
    poni2 = _parameter("poni2")
    rot1 = _parameter("rot1")
    rot2 = _parameter("rot2")
    rot3 = _parameter("rot3")
    pixel1 = _parameter("pixel1")
    pixel2 = _parameter("pixel2")
    wavelength = _parameter("wavelength")
    detector = _parameter("detector")

    detector_config = _recorded()
    revision = _recorded()
    revision_uid = _recorded()
    serial = _recorded()
    checksum = _recorded()
    label = _recorded()
    status = _recorded()

    results = Cpt(TextSignal, "Results_RBV", kind="omitted")
    links = Cpt(TextSignal, "Links_RBV", kind="omitted")
    request = Cpt(GuardedWritable, "Request", kind="omitted", string=True)
    serial_pv = Cpt(GuardedReadOnly, "Serial_RBV", kind="omitted")
    status_pv = Cpt(GuardedReadOnly, "Status_RBV", kind="omitted", string=True)
    alive_pv = Cpt(AliveSignal, "Alive_RBV", kind="omitted")

    lazy_wait_for_connection = False  # see _instantiate_component

    def __init__(
        self,
        prefix: str = "",
        *,
        timeout: float = 2.0,
        verdict_timeout: float = 30.0,
        on_disconnect: Literal["raise", "record"] = "raise",
        per_event: bool = False,
        **kwargs: Any,
    ) -> None:
        self._timeout, self._verdict_timeout = timeout, verdict_timeout
        self._making = threading.RLock()
        super().__init__(prefix, on_disconnect=on_disconnect, per_event=per_event, **kwargs)
        if isinstance(self.snapshot, FakeTextSignal):  # made by ophyd.sim.make_fake_device
            self._reader = self._transactor = FakeIoc(self)
        else:
            self._reader = SnapshotReader(self.snapshot, self.serial_pv, self.status_pv, self.alive_pv, timeout)
            self._transactor = Transactor(self.request, self.results, timeout)

    def read_snapshot(self, proof: Proof | None = None) -> Snapshot:
        """Return all that is active now: the monitored snapshot, verified by a fresh get.

        Parameters
        ----------
        proof
            What `ponikeeper_client.device.proofs` got just now for this device; None gets it.

        Returns
        -------
        Snapshot
            Active geometry with its revision, activation and status.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        return self._reader.read(proof)

    def read_links(self, *, all_links: bool = False) -> tuple[LinkState, ...]:
        """Return the states of the linked PVs as the IOC published them last.

        Parameters
        ----------
        all_links
            Whether to return also the links that are out of service, which do not count.

        Returns
        -------
        tuple of LinkState
            Value, units and motion of each linked PV.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        links = tuple(parse_links(self.links.newest(time.monotonic() + self._timeout)))
        return links if all_links else in_service(links)

    def read_settle(self) -> float:
        """Return for how long a linked PV must not have moved to be at rest.

        Returns
        -------
        float
            The IOC's ``settle`` (s); 0 where it does not publish it.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        return parse_settle(self.links.newest(time.monotonic() + self._timeout)) or 0.0

    def may_extrapolate(self) -> bool:
        """Return whether models may be used farther outside of their range than usual, as the IOC is configured.

        Returns
        -------
        bool
            The key ``extrapolate`` of the configuration.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        return parse_extrapolate(self.links.newest(time.monotonic() + self._timeout))

    def configure(
        self, d: GeometrySource, *, expect_revision: int | None = None, timeout: float | None = None
    ) -> tuple[Any, Any]:
        """Commit a geometry, or some values of it, in one transaction.

        Parameters
        ----------
        d
            Values by name (m, rad), or a whole geometry as for `set`.
        expect_revision
            Refuse unless this revision is active.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        tuple of OrderedDict
            The configuration before and after, as `read_configuration` returns it.

        Raises
        ------
        RefusedError
            The IOC refused; the message has its reasons.
        NotConnectedError
            The IOC does not answer.
        PoniError, TypeError
            As for `set`; nothing was sent.
        """
        values = values_of(d)
        old = self.recorded_values()
        if values:
            self._commit(values, expect_revision, timeout)
        return old, self.recorded_values()

    def set(
        self,
        value: GeometrySource,
        *,
        expect_revision: int | None = None,
        mask: str | Path | None = None,
        integration: Mapping[str, object] | None = KEPT,
        timeout: float | None = None,
        settle_time: float | None = None,
    ) -> Status:
        """Commit a geometry, or some values of it, in one transaction.

        Parameters
        ----------
        value
            A whole geometry: a `Geometry`, the path of a PONI file, a PONI text, an integrator or a `PoniFile` of
            pyFAI. Or a mapping of values by name (m, rad): some of them are an edit of the active geometry, which
            keeps its position.
        expect_revision
            Refuse unless this revision is active.
        mask
            File of an image or array whose nonzero pixels are masked; stored as its path and SHA-256.
        integration
            Settings with which `integrate` reduces the images of later runs, arguments of pyFAI's `integrate1d`:
            ``{"npt": 3000, "unit": "q_nm^-1"}``. Kept if omitted; None removes them. With an empty `value` only these
            and the mask are changed.
        timeout
            How long to wait for the result (s).
        settle_time
            Further time until the status is done (s).

        Returns
        -------
        Status
            Done when the new geometry is active and visible here; fails with the errors of `configure`.

        Raises
        ------
        PoniError
            The file or the text is not one whole geometry; nothing was sent.
        TypeError
            The value is none of these.
        """
        self.snapshot.check_alive()
        values = values_of(value)
        status = Status(self, settle_time=cast("int", settle_time))

        def run() -> None:
            try:
                self._commit(values, expect_revision, timeout, mask, integration)
            except Exception as error:  # noqa: BLE001  # it is reported by the status
                status.set_exception(error)
            else:
                status.set_finished()

        self.snapshot.cl.thread_class(target=run, daemon=True, name=f"{self.name}.set").start()
        return status

    def history(self, timeout: float = 10.0) -> ExportedHistory:
        """Read the whole history of the detector from its IOC; `timeline` makes a table of it.

        Parameters
        ----------
        timeout
            How long the IOC may take for each answer (s).

        Returns
        -------
        ExportedHistory
            All records, each with its checksum verified.

        Raises
        ------
        NotConnectedError
            The IOC does not answer.
        HistoryError
            A reply is damaged.
        DestroyedError
            The device was destroyed.
        RefusedError
            The device is a fake, which has no history.
        """
        return self._history("history", timeout).read_all()

    def labelled(self, label: str, timeout: float = 10.0) -> Revision:
        """Read the revision that a label means: the one that got it last and was neither corrected nor undone.

        Parameters
        ----------
        label
            Such as ``"near"``.
        timeout
            How long the IOC may take for each answer (s).

        Returns
        -------
        Revision
            As it was committed, with the position of the links.

        Raises
        ------
        RefusedError
            There is none, with the labels that there are; or the device is a fake, which has no history.
        NotConnectedError, HistoryError, DestroyedError
            As for `history`.
        """
        return self._history("labelled", timeout).labelled(label)

    def _history(self, method: str, timeout: float) -> IocHistory:
        self.snapshot.check_alive()
        if isinstance(self._transactor, FakeIoc):
            raise RefusedError(no_history(method))
        return IocHistory(self.prefix, timeout)

    def transact(self, request: Request, timeout: float | None = None) -> Result:
        """Run one transaction, and return when its effect is visible here.

        A commit gets path and SHA-256 of each file that its `detector_config` names.

        Parameters
        ----------
        request
            Any request; one without an id gets one.
        timeout
            How long to wait for the result (s).

        Returns
        -------
        Result
            The accepted result, with revision and serial.

        Raises
        ------
        RefusedError
            The IOC refused; the message has its reasons.
        NotConnectedError
            No result arrived in time; it is then unknown whether the transaction was stored.
        GeometryFileError
            A file that the geometry names cannot be read here; nothing was sent.
        """
        timeout = self._verdict_timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        if isinstance(request, Commit):
            request = with_files(request, file_entry)
        result = self._transactor.run(request, timeout)
        if not self._reader.wait_for_serial(result.serial or 0, deadline):
            raise NotConnectedError(f"{self.snapshot.pvname} does not show serial {result.serial} within {timeout:g} s")
        return result

    def monitored(self) -> Snapshot | None:
        """Return the snapshot that the monitor delivered last, without asking the IOC.

        Returns
        -------
        Snapshot or None
            None while the IOC is not connected.
        """
        return self._reader.newest_or_none()

    def verified(self) -> Snapshot | None:
        """Return what `read_snapshot` returns.

        Returns
        -------
        Snapshot or None
            None while the IOC is not connected or does not answer.
        """
        return self._reader.read_or_none()

    def wait_for_connection(self, *args: Any, **kwargs: Any) -> None:
        """Wait until all PVs are connected, as `ophyd.Device.wait_for_connection` does.

        Parameters
        ----------
        *args, **kwargs
            As for ophyd: ``timeout`` (s).

        Raises
        ------
        TimeoutError
            A PV is not connected in time; the message names it.
        DestroyedError
            The device was destroyed.
        """
        self.snapshot.check_alive()
        super().wait_for_connection(*args, **kwargs)

    def _commit(
        self,
        values: Mapping[str, Any],
        expect_revision: int | None,
        timeout: float | None,
        mask: str | Path | None = None,
        integration: Mapping[str, object] | None = KEPT,
    ) -> None:
        snapshot = self.read_snapshot()
        commit = manual(values, snapshot, expect_revision, integration, has_mask=mask is not None)
        self.transact(with_checked_files(commit, snapshot, mask), timeout)

    def _instantiate_component(self, attr: str) -> Any:
        """Make the signal of a value when it is used first: runs need none of them, and each has two PVs."""
        if not self._sig_attrs[attr].lazy:
            return super()._instantiate_component(attr)
        with self._making:
            self.snapshot.check_alive()
            if attr in self._signals:  # another thread made it
                return self._signals[attr]
            signal = super()._instantiate_component(attr)
            if self.snapshot._destroyed:  # what destroys the device may have passed over the new signal
                signal.destroy()
                self.snapshot.check_alive()
        if self.snapshot.connected:
            with suppress(TimeoutError):  # the signal says that it is not connected when it is used
                signal.wait_for_connection()
        return signal

    def _newest(self) -> Snapshot | None:
        reader = self.__dict__.get("_reader")  # missing when __init__ failed; repr must work then, too
        snapshot = None if reader is None else reader.newest_or_none()
        silence = 0.0 if reader is None else reader.silence
        if snapshot is None or not silence:
            return snapshot
        reason = f"no sign of life from the IOC for {silence:.0f} s; before that the status was {snapshot.status}"
        return replace(snapshot, status="UNKNOWN", reason=reason)

    def __repr__(self) -> str:
        snapshot = self._newest()
        text = self._absence() if snapshot is None else _display.as_text(snapshot)
        return f"{type(self).__name__}(prefix={self.prefix!r}, name={self.name!r}): {text}"

    def _absence(self) -> str:
        snapshot = self._signals.get("snapshot")  # missing when __init__ failed
        return "destroyed" if snapshot is not None and snapshot._destroyed else "not connected"

    def _repr_html_(self) -> str:
        return _display.as_html(f"{self.name} {self.prefix}", self._newest(), self._absence())

    def _repr_info(self) -> Any:
        yield from super()._repr_info()
        yield "timeout", self._timeout
        yield "verdict_timeout", self._verdict_timeout
        yield "on_disconnect", self._on_disconnect
        yield "per_event", self._per_event


class CalibrationMixin(Device):
    """A detector whose geometry `bluesky.plan_stubs.configure` can set: ``{"calib.dist": 0.23}``.

    Put it before the detector's class. All keys of one calibration go into one transaction, before
    anything else is configured; all other keys configure the detector as usual. `CalibrationData` is
    recorded with any detector, with or without this class.

    Examples
    --------
    >>> class Detector(CalibrationMixin, YourAreaDetector):
    ...     calib = Component(CalibrationData, "Calib:", kind="config")
    >>> RE(bps.configure(detector, {"calib.dist": 0.2345}))
    """

    def configure(self, d: dict[str, Any]) -> tuple[Any, Any]:
        """Configure detector and geometry.

        Parameters
        ----------
        d
            Values by key: ``calib.dist`` (m, rad), ``calib`` with a geometry as `CalibrationData.set` takes it, or
            a key of the detector.

        Returns
        -------
        tuple of OrderedDict
            The configuration before and after.

        Raises
        ------
        ValueError
            The detector does not have one of the keys; nothing was committed.
        RefusedError, NotConnectedError
            As `CalibrationData.configure`.
        """
        calibrations, rest = self._split(d)
        if not calibrations:
            return super().configure(d)
        unknown = [key for key in rest if key not in self.configuration_attrs]
        if unknown:  # checked before anything is committed
            raise ValueError(
                f"{', '.join(unknown)} cannot be configured: expected {', '.join(self.configuration_attrs)}"
            )
        old = self.read_configuration()
        for name, values in calibrations.items():
            getattr(self, name).configure(values)
        if rest:
            super().configure(rest)
        return old, self.read_configuration()

    def _split(self, d: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        calibrations: dict[str, dict[str, Any]] = {}
        rest: dict[str, Any] = {}
        for key, value in d.items():
            name, _, parameter = key.rpartition(".")
            if name and isinstance(getattr(self, name, None), CalibrationData):
                calibrations.setdefault(name, {})[parameter] = value
            elif isinstance(getattr(self, key, None), CalibrationData):
                calibrations.setdefault(key, {}).update(values_of(value))
            else:
                rest[key] = value
        return calibrations, rest


def proofs(calibs: Sequence[CalibrationData]) -> dict[CalibrationData, Proof | None]:
    """Ask the IOCs of several calibrations in one round trip, so that `CalibrationData.read_snapshot` need not.

    Parameters
    ----------
    calibs
        The devices.

    Returns
    -------
    dict
        For each device what it accepts as ``proof``, to be used at once; None where it has to ask for itself.
    """
    readers = {calib: calib._reader for calib in calibs if isinstance(calib._reader, SnapshotReader)}
    answers = prove_together(list(readers.values()))
    return dict.fromkeys(calibs) | dict(zip(readers, answers, strict=True))


def as_calibration(given: Any) -> CalibrationData | None:
    """Return a calibration that a user gives as an ophyd device; None if it is none.

    Parameters
    ----------
    given
        A `CalibrationData`, or an `AsyncCalibrationData`: the ophyd device for the same PVs.

    Returns
    -------
    CalibrationData or None
    """
    async_device = sys.modules.get("ponikeeper_client.async_device")  # without it there are no such devices
    if async_device is not None and isinstance(given, async_device.AsyncCalibrationData):
        return given.twin()
    return given if isinstance(given, CalibrationData) else None


def calibrations(device: Any) -> list[CalibrationData]:
    """Return the calibrations of a device that a plan reads, or the device itself if it is one.

    Parameters
    ----------
    device
        Of ophyd or ophyd-async. The calibrations of an ophyd-async detector are returned as ophyd
        devices for the same PVs.

    Returns
    -------
    list of CalibrationData
        Empty where the device has none.

    Raises
    ------
    RecordError
        The ophyd-async detector could not record a change of its geometry within a run.
    """
    if isinstance(device, CalibrationData):
        return [device]
    if isinstance(device, Device):
        return [each for _, each in device.walk_subdevices(include_lazy=False) if isinstance(each, CalibrationData)]
    async_device = sys.modules.get("ponikeeper_client.async_device")  # without it there are no such devices
    return [] if async_device is None else async_device.twins(device)
