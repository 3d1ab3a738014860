"""The geometry of a detector as an ophyd device: recorded whole with every run, set as one transaction."""

import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal, cast

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from ponikeeper.errors import NotConnectedError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import LinkState, Request, Result, Snapshot, parse_links
from ponikeeper.protocol.pvs import setpoint
from ponikeeper_client import _display, documents
from ponikeeper_client._signals import ParameterSignal, SnapshotSignal, TextSignal
from ponikeeper_client._snapshots import SnapshotReader
from ponikeeper_client._transactions import Transactor, manual


def _parameter(name: str) -> Any:
    text = name == "detector"
    return Cpt(ParameterSignal, setpoint(name), kind="config", string=text, tolerance=None if text else 0.0)


def _recorded() -> Any:
    return Cpt(SnapshotSignal, kind="config")


class CalibrationData(Device):
    """The calibrated geometry of one detector, as the ponikeeper IOC has it in force.

    As a component with ``kind="config"`` it is recorded in the descriptor of each run. What it
    gives comes from one snapshot, so it is never half of one geometry and half of another.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``; as a component, what
        follows the prefix of its parent.
    timeout
        How long to wait for an IOC that does not answer (s).
    verdict_timeout
        How long to wait for the verdict of a transaction: a disk may hang (s).
    on_disconnect
        What to do when a run wants the configuration and the IOC does not answer: ``"raise"``
        `NotConnectedError`, or ``"record"`` the status UNKNOWN and no numbers.
    """

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

    snapshot = Cpt(TextSignal, "Snapshot_RBV", kind="omitted")
    results = Cpt(TextSignal, "Results_RBV", kind="omitted")
    links = Cpt(TextSignal, "Links_RBV", kind="omitted")
    request = Cpt(EpicsSignal, "Request", kind="omitted", string=True)
    serial_pv = Cpt(EpicsSignalRO, "Serial_RBV", kind="omitted")
    status_pv = Cpt(EpicsSignalRO, "Status_RBV", kind="omitted", string=True)

    def __init__(
        self,
        prefix: str = "",
        *,
        timeout: float = 2.0,
        verdict_timeout: float = 30.0,
        on_disconnect: Literal["raise", "record"] = "raise",
        **kwargs: Any,
    ) -> None:
        if on_disconnect not in ("raise", "record"):
            raise ValueError(f'on_disconnect={on_disconnect!r} is unknown: expected "raise" or "record"')
        self._timeout, self._verdict_timeout, self._on_disconnect = timeout, verdict_timeout, on_disconnect
        self._made: tuple[tuple[str, Snapshot], documents.Configuration] | None = None
        super().__init__(prefix, **kwargs)
        self._reader = SnapshotReader(self.snapshot, self.serial_pv, self.status_pv, timeout)
        self._transactor = Transactor(self.request, self.results, timeout)

    def read_snapshot(self) -> Snapshot:
        """Give all that is in force now: the monitored snapshot, proved current by a fresh get.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        return self._reader.read()

    def read_links(self) -> tuple[LinkState, ...]:
        """Give where the linked PVs stand, as the IOC showed it last.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; the message names the PV.
        """
        return parse_links(self.links.newest(time.monotonic() + self._timeout))

    def read_configuration(self) -> Any:
        """Give values and timestamps of all that a run records, from one snapshot.

        Raises
        ------
        NotConnectedError
            The IOC does not answer, unless that is to be recorded.
        """
        found = self._configuration()
        return OrderedDict(
            (key, {"value": value, "timestamp": found.timestamps[key]}) for key, value in found.data.items()
        )

    def describe_configuration(self) -> Any:
        """Give the data keys of what `read_configuration` gives; raises as that does."""
        return OrderedDict((key, dict(data_key)) for key, data_key in self._configuration().data_keys.items())

    def configure(
        self, d: Mapping[str, Any], *, expect_revision: int | None = None, timeout: float | None = None
    ) -> tuple[Any, Any]:
        """Commit some values as one transaction, and give the configuration before and after it.

        Parameters
        ----------
        d
            Values by name, in m and rad.
        expect_revision
            Refuse unless this revision is in force.
        timeout
            How long to wait for the verdict (s).

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            The IOC does not answer.
        """
        old = self.read_configuration()
        if d:
            self._commit(d, expect_revision, timeout)
        return old, self.read_configuration()

    def set(
        self,
        value: Geometry | Mapping[str, Any],
        *,
        expect_revision: int | None = None,
        timeout: float | None = None,
        settle_time: float | None = None,
    ) -> Status:
        """Commit a geometry, or some values of it, as one transaction.

        Parameters
        ----------
        value
            A whole geometry, or values by name (m, rad).
        expect_revision
            Refuse unless this revision is in force.
        timeout
            How long to wait for the verdict (s).
        settle_time
            Further time until the status is done (s).

        Returns
        -------
        Status
            Done when the geometry is in force here too; fails as `configure` does.
        """
        values = value.as_dict() if isinstance(value, Geometry) else value
        status = Status(self, settle_time=cast("int", settle_time))

        def run() -> None:
            try:
                self._commit(values, expect_revision, timeout)
            except Exception as error:  # noqa: BLE001  # whoever waits for the status has to hear of it
                status.set_exception(error)
            else:
                status.set_finished()

        self.snapshot.cl.thread_class(target=run, daemon=True, name=f"{self.name}.set").start()
        return status

    def transact(self, request: Request, timeout: float | None = None) -> Result:
        """Run one transaction, and return when what it did is in force here.

        Parameters
        ----------
        request
            Any request; without an id it is given one.
        timeout
            How long to wait for the verdict (s).

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        NotConnectedError
            No verdict came in time; whether the transaction was stored is not known then.
        """
        timeout = self._verdict_timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        result = self._transactor.run(request, timeout)
        if not self._reader.wait_for_serial(result.serial or 0, deadline):
            raise NotConnectedError(f"{self.snapshot.pvname} does not show serial {result.serial} within {timeout:g} s")
        return result

    def _commit(self, values: Mapping[str, Any], expect_revision: int | None, timeout: float | None) -> None:
        self.transact(manual(values, self.read_snapshot(), expect_revision), timeout)

    def _configuration(self) -> documents.Configuration:
        try:
            snapshot = self.read_snapshot()
        except NotConnectedError as error:
            if self._on_disconnect == "raise":
                raise
            snapshot = Snapshot(self.prefix, "UNKNOWN", str(error))
        made = self._made
        if made is None or made[0] != (self.name, snapshot) or snapshot.activated is None:
            made = ((self.name, snapshot), documents.configuration(snapshot, snapshot.status, self.name))
            self._made = made
        return made[1]

    def _heard(self) -> Snapshot | None:
        reader = self.__dict__.get("_reader")  # a device that could not be made is shown too
        return None if reader is None else reader.heard()

    def __repr__(self) -> str:
        snapshot = self._heard()
        told = "not connected" if snapshot is None else _display.as_text(snapshot)
        return f"{type(self).__name__}(prefix={self.prefix!r}, name={self.name!r}): {told}"

    def _repr_html_(self) -> str:
        return _display.as_html(f"{self.name} {self.prefix}", self._heard())

    def _repr_info(self) -> Any:
        yield from super()._repr_info()
        yield "timeout", self._timeout
        yield "verdict_timeout", self._verdict_timeout
        yield "on_disconnect", self._on_disconnect


class CalibrationMixin(Device):
    """A detector that lets `bluesky.plan_stubs.configure` set its geometry: ``{"calib.dist": 0.23}``.

    Put it before the detector's class. All keys of one calibration go into one transaction, before
    anything else is configured; the other keys are the detector's as ever. `CalibrationData` is
    recorded with any detector, this class or not.
    """

    def configure(self, d: dict[str, Any]) -> tuple[Any, Any]:
        """Configure detector and geometry; raises as `CalibrationData.configure` does."""
        calibrations, rest = self._split(d)
        if not calibrations:
            return super().configure(d)
        unknown = [key for key in rest if key not in self.configuration_attrs]
        if unknown:  # told before anything is committed
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
                values = value.as_dict() if isinstance(value, Geometry) else value
                calibrations.setdefault(key, {}).update(values)
            else:
                rest[key] = value
        return calibrations, rest


def calibrations(device: Any) -> list[CalibrationData]:
    """Give the calibrations of a detector, or of anything else that a plan reads; itself where it is one.

    For those of an ophyd-async detector their twins in ophyd; raises `RecordError` where those would not help.
    """
    if isinstance(device, CalibrationData):
        return [device]
    if isinstance(device, Device):
        return [each for _, each in device.walk_subdevices(include_lazy=False) if isinstance(each, CalibrationData)]
    beside = sys.modules.get("ponikeeper_client.async_device")  # where nobody loaded it there are none
    return [] if beside is None else beside.twins(device)
