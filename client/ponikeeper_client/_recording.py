"""What a run records of the geometry of a detector: its configuration, the values of each event, a monitor."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from ophyd import Device, Kind
from ophyd.device import Staged

from ponikeeper.errors import NotConnectedError
from ponikeeper.protocol import Snapshot
from ponikeeper_client import documents
from ponikeeper_client._exposure_motion import ExposureMotion
from ponikeeper_client._fresh_gets import Proof
from ponikeeper_client._status_warnings import StatusWarnings


class Recording(Device):
    """The part of `CalibrationData` that bluesky reads.

    Parameters
    ----------
    prefix, on_disconnect, per_event, **kwargs
        As for `CalibrationData`.
    """

    serial: Any
    status: Any

    SUB_STATE = "state"
    _default_sub = SUB_STATE

    def __init__(
        self,
        prefix: str = "",
        *,
        on_disconnect: Literal["raise", "record"] = "raise",
        per_event: bool = False,
        **kwargs: Any,
    ) -> None:
        if on_disconnect not in ("raise", "record"):
            raise ValueError(f'on_disconnect={on_disconnect!r} is unknown: expected "raise" or "record"')
        self._on_disconnect, self._per_event = on_disconnect, per_event
        self.status_warnings = StatusWarnings()
        self.exposure_motion = ExposureMotion()
        self._state: tuple[int, str] | None = None
        self._state_lock, self._is_following = threading.Lock(), False
        self._proof: Proof | None = None
        self._made: tuple[tuple[str, Snapshot], documents.Configuration] | None = None
        super().__init__(prefix, **kwargs)
        if per_event:
            self.kind = Kind(self.kind | Kind.normal)

    def read_snapshot(self, proof: Proof | None = None) -> Snapshot:
        """Return all that is active now; the device implements it."""
        raise NotImplementedError

    def monitored(self) -> Snapshot | None:
        """Return what the monitor delivered last; the device implements it."""
        raise NotImplementedError

    def stage(self) -> Any:
        """Stage the device: a run that records a geometry that does not apply causes one warning.

        Returns
        -------
        list
            The staged devices, as for `ophyd.Device`.
        """
        self.status_warnings.begin()
        return super().stage()

    def read(self) -> Any:
        """Return what each event records: with ``per_event`` serial and status.

        Returns
        -------
        OrderedDict
            ``value`` and ``timestamp`` (s since 1970) by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        values: Any = super().read()
        if self._per_event:
            recorded, now = self.recorded_values(), time.time()
            values.update({key: {**recorded[key], "timestamp": now} for key in self._event_keys()})
        return values

    def describe(self) -> Any:
        """Return the data keys of `read`.

        Returns
        -------
        OrderedDict
            ``dtype``, ``shape`` and ``source`` by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        data_keys: Any = super().describe()
        if self._per_event:
            described = self.describe_configuration()
            data_keys.update({key: described[key] for key in self._event_keys()})
        return data_keys

    @property
    def is_read_per_event(self) -> bool:
        """Whether each event has serial and status (``per_event``)."""
        return self._per_event

    def subscribe(self, callback: Callable[..., Any], event_type: str | None = None, run: bool = True) -> int:
        """Call a function at each change of serial or status, as ``bps.monitor(calib)`` needs it.

        Parameters
        ----------
        callback
            Called with keywords; `read` returns the new values.
        event_type
            As for `ophyd.Device.subscribe`; None or ``"state"`` means serial and status.
        run
            Whether to call it at once, too.

        Returns
        -------
        int
            For `unsubscribe`.

        Raises
        ------
        ValueError
            `read` returns nothing, because the device was made without ``per_event``.
        DestroyedError
            The device was destroyed.
        """
        if event_type in (None, self.SUB_STATE):
            if not self._per_event:
                raise ValueError(
                    f"{self.name} has nothing to record in the events of a monitor: expected "
                    f"CalibrationData(..., per_event=True), whose events have serial and status; or monitor "
                    f"{self.name}.status"
                )
            self._follow_state()
        return super().subscribe(callback, event_type=event_type, run=run)

    def read_configuration(self) -> Any:
        """Return values and timestamps of all that a run records, from one snapshot.

        If the geometry does not apply, a warning is logged, unless a guard does that.

        Returns
        -------
        OrderedDict
            ``value`` and ``timestamp`` (s since 1970) by key; lengths in m, angles in rad.

        Raises
        ------
        NotConnectedError
            The IOC does not answer, and ``on_disconnect`` is ``"raise"``.
        """
        snapshot = self.recorded_snapshot(self._proof)
        if self._staged is not Staged.yes:
            self.status_warnings.begin()
        self.status_warnings.check(self.name, snapshot)
        return self._values_of(snapshot)

    @contextmanager
    def proven(self, proof: Proof | None) -> Iterator[None]:
        """Return a context in which `read_configuration` need not ask the IOC.

        Parameters
        ----------
        proof
            What `proofs` got from the IOC just now; None asks it.
        """
        self._proof = proof
        try:
            yield
        finally:
            self._proof = None

    def recorded_snapshot(self, proof: Proof | None = None) -> Snapshot:
        """Return the snapshot that a run records now: MOVING where a guard saw a link move during the exposure.

        Parameters
        ----------
        proof
            What `proofs` got from the IOC just now; None asks it.

        Returns
        -------
        Snapshot
            UNKNOWN, without values, where the IOC does not answer and ``on_disconnect`` is ``"record"``.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        try:
            return self.exposure_motion.applied_to(self.read_snapshot(proof))
        except NotConnectedError as error:
            if self._on_disconnect == "raise":
                raise
            return Snapshot(self.prefix, "UNKNOWN", str(error))

    def recorded_values(self, proof: Proof | None = None) -> Any:
        """Return what `read_configuration` returns, without a warning.

        Parameters
        ----------
        proof
            What `proofs` got from the IOC just now; None asks it.

        Returns
        -------
        OrderedDict
            ``value`` and ``timestamp`` by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`.
        """
        return self._values_of(self.recorded_snapshot(proof))

    def describe_configuration(self) -> Any:
        """Return the data keys of `read_configuration`.

        Those of a geometry are always the same, so the IOC is not asked where the monitor has delivered one.

        Returns
        -------
        OrderedDict
            ``dtype``, ``shape``, ``source`` and ``units`` by key.

        Raises
        ------
        NotConnectedError
            As `read_configuration`, if the IOC is asked.
        """
        snapshot = self.monitored() if self._on_disconnect == "raise" else None
        if snapshot is None or snapshot.geometry is None:
            snapshot = self.recorded_snapshot()
        data_keys = self._configuration(snapshot).data_keys
        return OrderedDict((key, dict(data_key)) for key, data_key in data_keys.items())

    def _values_of(self, snapshot: Snapshot) -> Any:
        configuration = self._configuration(snapshot)
        timestamps = configuration.timestamps
        return OrderedDict(
            (key, {"value": value, "timestamp": timestamps[key]}) for key, value in configuration.data.items()
        )

    def _follow_state(self) -> None:
        """Call the subscribers at each change of serial or status from now on."""
        with self._state_lock:
            begins, self._is_following = not self._is_following, True
        if begins:
            for signal in (self.serial, self.status):
                signal.subscribe(self._state_changed, run=False)
            self._state_changed()

    def _state_changed(self, **_: Any) -> None:
        """Call the subscribers once if serial or status, or both, have changed; a lost IOC has no values to read."""
        snapshot = self.monitored()
        state = (0, "UNKNOWN") if snapshot is None else (snapshot.serial, snapshot.status)
        with self._state_lock:
            if state == self._state or (snapshot is None and self._on_disconnect == "raise"):
                return
            self._state = state
            self._run_subs(sub_type=self.SUB_STATE, timestamp=time.time())

    def _event_keys(self) -> list[str]:
        return [f"{self.name}_{key}" for key in documents.STATE_KEYS]

    def _configuration(self, snapshot: Snapshot) -> documents.Configuration:
        made = self._made
        if made is None or made[0] != (self.name, snapshot) or snapshot.activated is None:
            made = ((self.name, snapshot), documents.configuration(snapshot, self.name))
            self._made = made
        return made[1]
