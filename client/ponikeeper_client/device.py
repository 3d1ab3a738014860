"""The ophyd device that records a detector's geometry in every run, and the mixin that configures it."""

import html
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO
from ophyd.status import Status as DoneStatus

# isort: split
import epics  # after ophyd: pyepics warns of the other order

from ponikeeper.contract import Status, setpoint
from ponikeeper.errors import MessageError, NotConnectedError, RefusedError
from ponikeeper.geometry import NAMES, Geometry
from ponikeeper.messages import MAX_BYTES, Commit, Result, Snapshot, parse_results, request_text
from ponikeeper_client import documents
from ponikeeper_client.signals import ParameterSignal, SnapshotSignal, WatchedText

_FRESH = ("serial_now", "status_now")


def _parameter(name: str) -> Any:
    return Cpt(ParameterSignal, setpoint(name), string=name == "detector", tolerance=0, kind="config")


class CalibrationData(Device):
    """The geometry of a detector, as the IOC keeps it.

    ``calib = Cpt(CalibrationData, "Calib:", kind="config")`` on any detector class records it in
    every run: the ten values under xpdAcq's names, and beside them which revision they are.

    Parameters
    ----------
    prefix
        PV prefix of the detector in the IOC.
    timeout
        Seconds within which the IOC has to answer.
    transaction_timeout
        Seconds within which a transaction has to be decided.
    on_disconnect
        What ``read_configuration()`` does where the IOC does not answer: ``"raise"``, or ``"record"``
        the status UNKNOWN and no numbers.
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

    detector_config = Cpt(SnapshotSignal, kind="config")
    revision = Cpt(SnapshotSignal, kind="config")
    revision_uid = Cpt(SnapshotSignal, kind="config")
    serial = Cpt(SnapshotSignal, kind="config")
    checksum = Cpt(SnapshotSignal, kind="config")
    label = Cpt(SnapshotSignal, kind="config")
    status = Cpt(SnapshotSignal, kind="config")

    snapshot = Cpt(WatchedText, "Snapshot_RBV", kind="omitted")
    results = Cpt(WatchedText, "Results_RBV", kind="omitted")
    serial_now = Cpt(EpicsSignalRO, "Serial_RBV", kind="omitted")
    status_now = Cpt(EpicsSignalRO, "Status_RBV", kind="omitted")
    request = Cpt(EpicsSignal, "Request", string=True, kind="omitted")

    def __init__(
        self,
        prefix: str = "",
        *,
        timeout: float = 2.0,
        transaction_timeout: float = 10.0,
        on_disconnect: Literal["raise", "record"] = "raise",
        **options: Any,
    ) -> None:
        if on_disconnect not in ("raise", "record"):
            raise ValueError(f'on_disconnect {on_disconnect!r} is unknown: expected "raise" or "record"')
        self._timeout = timeout
        self._transaction_timeout = transaction_timeout
        self._on_disconnect = on_disconnect
        self._asking = threading.Lock()
        self._parsed: tuple[str, Snapshot] | None = None
        super().__init__(prefix, **options)

    def in_force(self) -> tuple[Snapshot, str]:
        """Give what is in force, and its status now.

        The serial and the status are asked of the IOC, and a snapshot of at least that serial is
        waited for: one that is older, or an IOC that hangs, cannot pass for the truth.

        Raises
        ------
        NotConnectedError
            The IOC does not answer within the timeout; names the PV.
        """
        try:
            serial, status = self._ask()
            snapshot = self.snapshot.wait_for(
                lambda text: self._read(text) if self._read(text).serial >= serial else None, self._timeout
            )
        except NotConnectedError:
            if self._on_disconnect == "raise":
                raise
            return documents.unknown(self.prefix), Status.UNKNOWN.name
        return snapshot, Status(status).name

    def geometry(self) -> Geometry | None:
        """Give the geometry in force, None where there is none; raises as `in_force`."""
        return self.in_force()[0].geometry

    def value(self, name: str) -> Any:
        """Give one of the recorded values, by attribute; raises as `in_force`."""
        return documents.values(*self.in_force()).get(name)

    def read_configuration(self) -> "OrderedDict[str, dict[str, Any]]":
        """Give what a run records: all of it from one snapshot, so it belongs together."""
        return OrderedDict(documents.reading(*self.in_force(), self.name))

    def describe_configuration(self) -> "OrderedDict[str, dict[str, Any]]":
        """Describe what a run records."""
        return OrderedDict(documents.description(*self.in_force(), self.name, self.prefix))

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Change values as one transaction; give the configuration before and after.

        Raises
        ------
        RefusedError
            With the IOC's reasons.
        """
        old = self.read_configuration()
        self.commit(d)
        return old, self.read_configuration()

    def set(self, value: Geometry | Mapping[str, Any]) -> DoneStatus:
        """Change values, or the whole geometry, as one transaction; the status fails with the IOC's reasons."""
        status = DoneStatus(self)

        def run() -> None:
            try:
                self.commit(value)
            except Exception as error:  # noqa: BLE001  # whatever it was, the status carries it
                status.set_exception(error)
            else:
                status.set_finished()

        threading.Thread(target=run, name=f"{self.name} set", daemon=True).start()
        return status

    def commit(self, value: Geometry | Mapping[str, Any], expect_revision: int | None = None) -> Result:
        """Run one transaction, and wait until the snapshot shows it.

        Parameters
        ----------
        value
            A geometry, or some of its values (m, rad); the rest stays.
        expect_revision
            The revision that has to be in force.

        Raises
        ------
        RefusedError
            With the IOC's reasons; the geometry in force stays.
        NotConnectedError
            The IOC does not answer; whether the transaction was stored is told by the history.
        """
        changes = value.as_dict() if isinstance(value, Geometry) else {key: _plain(item) for key, item in value.items()}
        snapshot = self.in_force()[0]
        provenance: dict[str, object] = {"method": "manual"}
        if snapshot.revision:
            provenance["derived_from"] = snapshot.revision
        identity = str(uuid.uuid4())
        commit = Commit(changes, provenance, snapshot.label, "now", expect_revision, identity)
        result = self._decided(identity, _text(commit))
        if result.outcome != "accepted":
            raise RefusedError(result.errors)
        serial = result.serial or 0
        self.snapshot.wait_for(lambda text: self._read(text).serial >= serial or None, self._timeout)
        return result

    def _decided(self, identity: str, text: str) -> Result:
        """Put a request, and find its verdict by its id: the end of a put says nothing of it."""

        def find(results: str) -> Result | None:
            return next(
                (
                    item
                    for item in parse_results(results)
                    if item.request == identity and item.outcome != "undetermined"
                ),
                None,
            )

        self.request.put(text, wait=False, use_complete=True)  # with a callback libca prints no refusal of its own
        return self.results.wait_for(find, self._transaction_timeout)

    def _ask(self) -> tuple[int, int]:
        """Get serial and status from the IOC, in one exchange.

        Raises
        ------
        NotConnectedError
            It does not answer within the timeout.
        """
        signals = [getattr(self, name) for name in _FRESH]
        with self._asking:
            if epics.ca.current_context() is None:
                epics.ca.use_initial_context()
            for signal in signals:
                if not signal.connected:
                    raise NotConnectedError(f"{signal.pvname} is not connected: is the IOC running?")
                epics.ca.get(signal._read_pv.chid, wait=False)  # noqa: SLF001  # the one way to two gets in one flush
            serial, status = (self._answer(signal) for signal in signals)
        return serial, status

    def _answer(self, signal: Any) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyepics warns of a timeout that is told below
            try:
                value = epics.ca.get_complete(signal._read_pv.chid, timeout=self._timeout)  # noqa: SLF001
            except (epics.ca.ChannelAccessException, epics.ca.ChannelAccessGetFailure) as error:
                raise NotConnectedError(f"{signal.pvname} could not be read: {error}") from error
        if value is None:
            raise NotConnectedError(f"{signal.pvname} did not answer within {self._timeout:g} s: does the IOC hang?")
        return int(value)

    def _read(self, text: str) -> Snapshot:
        """Parse a snapshot, once for each text."""
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, Snapshot.from_json(text))
        return self._parsed[1]

    def _heard(self) -> Snapshot | None:
        """Give what was heard last without asking: good enough to be looked at, not to be recorded."""
        text = self.snapshot.text
        try:
            return None if text is None else self._read(text)
        except MessageError:
            return None

    def _repr_info(self) -> Iterator[tuple[str, Any]]:
        yield from super()._repr_info()
        snapshot = self._heard()
        if snapshot is None:
            yield "in_force", "not connected"
            return
        yield "in_force", f"{snapshot.status} revision {snapshot.revision} {snapshot.label or ''}".strip()
        for name, si, human in _rows(snapshot):
            yield name, f"{si} ({human})" if human else si

    def _repr_html_(self) -> str:
        """Show the geometry in force in a notebook: SI, and as people speak of it."""
        snapshot = self._heard()
        if snapshot is None:
            return f"<b>{html.escape(self.prefix)}</b> not connected"
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(snapshot)
        )
        label = f" ({snapshot.label})" if snapshot.label else ""
        head = f"{snapshot.prefix} {snapshot.status}, revision {snapshot.revision}{label}"
        return f"<b>{html.escape(head)}</b> {html.escape(snapshot.reason)}<table>{rows}</table>"


class CalibrationMixin:
    """Lets ``bps.configure(detector, {"calib.dist": 0.2345})`` be one transaction; stands before the detector's class.

    bluesky makes a new descriptor only where the detector itself is configured.
    """

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configure the detector; what belongs to a calibration is one transaction, made first.

        Raises
        ------
        RefusedError
            With the IOC's reasons; nothing was changed then.
        """
        mine: dict[str, dict[str, Any]] = {}
        rest: dict[str, Any] = {}
        for key, value in d.items():
            owner, _, name = key.rpartition(".")
            if owner and isinstance(_component(self, owner), CalibrationData):
                mine.setdefault(owner, {})[name] = value
            else:
                rest[key] = value
        old = self.read_configuration()  # type: ignore[attr-defined]  # of the detector's class
        for owner, values in mine.items():
            _component(self, owner).commit(values)
        if rest:
            super().configure(rest)  # type: ignore[misc]
        return old, self.read_configuration()  # type: ignore[attr-defined]


def _component(device: Any, name: str) -> Any:
    for part in name.split("."):
        device = getattr(device, part, None)
    return device


def _rows(snapshot: Snapshot) -> list[tuple[str, str, str]]:
    """Tell a geometry: name, value in SI, and as people speak of it."""
    geometry = snapshot.geometry
    if geometry is None:
        return []
    human = {"wavelength": f"{geometry.wavelength_angstrom:.6g} \u00c5", "dist": f"{geometry.dist * 1e3:.4f} mm"}
    if geometry.fit2d is not None:
        human["poni1"] = f"beam centre y {geometry.fit2d.beam_y:.2f} px"
        human["poni2"] = f"beam centre x {geometry.fit2d.beam_x:.2f} px"
    units = {name: "rad" if name.startswith("rot") else "m" for name in NAMES} | {"detector": ""}
    return [(name, f"{getattr(geometry, name)} {units[name]}".strip(), human.get(name, "")) for name in NAMES]


def _plain(value: Any) -> Any:
    """Take numpy's scalars for the numbers they are."""
    return value.item() if hasattr(value, "item") else value


def _text(commit: Commit) -> str:
    """Write a request.

    Raises
    ------
    RefusedError
        It cannot be written as JSON, or does not fit its PV: sent, it would be cut.
    """
    try:
        text = request_text(commit)
    except (TypeError, ValueError) as error:
        raise RefusedError(f"the request cannot be sent: {error}") from error
    if len(text) >= MAX_BYTES:
        raise RefusedError(f"the request has {len(text)} bytes, at most {MAX_BYTES - 1} fit")
    return text
