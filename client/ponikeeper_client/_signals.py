"""Signals of a `CalibrationData`: values that are set by transaction, values of the snapshot, monitored texts."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ophyd import Signal
from ophyd.areadetector.base import EpicsSignalWithRBV
from ophyd.signal import UNSET_VALUE
from ophyd.status import Status
from ophyd.utils import DestroyedError, ReadOnlyError

from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.heartbeat import Heartbeat
from ponikeeper_client import documents
from ponikeeper_client._fresh_gets import CHAR, fresh_values, raise_silent
from ponikeeper_client._guarded_signals import GuardedReadOnly, GuardedWritable
from ponikeeper_client._liveness import LivenessWatch


class SetByTransaction(Signal):
    """A signal of a `CalibrationData` that is set by a transaction of one value.

    Whether it succeeded is decided by the result of the IOC, never by a comparison within a tolerance:
    ophyd derives one from the PV's precision, and a small change that was refused would count as done.
    """

    def set(self, value: Any, *, timeout: Any = None, settle_time: Any = None, **_: Any) -> Status:
        """Commit the value.

        Parameters
        ----------
        value
            In m or rad; for `detector` pyFAI's name.
        timeout
            How long to wait for the result (s).
        settle_time
            Further time until the status is done (s).

        Returns
        -------
        Status
            Fails with `RefusedError`, which has the reasons of the IOC, or `NotConnectedError`.
        """
        return self._device.set({self.attr_name: value}, timeout=timeout, settle_time=settle_time)

    def put(self, value: Any, *_: Any, timeout: Any = None, **__: Any) -> None:
        """Commit the value, and return when it is active; the errors are those of `set`."""
        self._device.configure({self.attr_name: value}, timeout=timeout)

    @property
    def _device(self) -> Any:
        return self.parent


class ParameterSignal(SetByTransaction, GuardedWritable, EpicsSignalWithRBV):
    """One value of the active geometry."""


class SnapshotSignal(Signal):
    """A value from the snapshot of its parent; read-only.

    Subscriptions are called for each new value that the monitor of the snapshot delivers. When the IOC
    is disconnected or hangs, those of `status` get UNKNOWN, as a run would record it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"value": UNSET_VALUE, **kwargs})  # otherwise repr would show 0.0
        self._publishing = threading.RLock()
        self._is_following = False
        self._published: Any = None

    @property
    def value(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # it is read-only
        """The value that `get` returns."""
        return self.get()

    def get(self, **_: Any) -> Any:
        """Read the value as it is recorded; the errors are those of `CalibrationData.read_configuration`."""
        return self._device.recorded_values()[self.name]["value"]

    def read(self) -> dict[str, Any]:
        """Return value and timestamp."""
        return {self.name: self._device.recorded_values()[self.name]}

    def describe(self) -> dict[str, Any]:
        """Return the data key."""
        return {self.name: self._device.describe_configuration()[self.name]}

    def subscribe(self, callback: Callable[..., Any], event_type: str | None = None, run: bool = True) -> int:
        """Call a function with each new value.

        Parameters
        ----------
        callback
            Called with the keywords ``value``, ``old_value`` and ``timestamp``.
        event_type
            As for `ophyd.Signal.subscribe`.
        run
            Whether to call it with the present value at once, where that is known.

        Returns
        -------
        int
            For `unsubscribe`.

        Raises
        ------
        DestroyedError
            The device was destroyed.
        """
        snapshot = self._device.snapshot
        snapshot.check_alive()
        if self._destroyed:
            raise DestroyedError(f"{self.name} was destroyed: make a new device")
        with self._publishing:
            if not self._is_following:
                self._is_following = True
                snapshot.subscribe(self._snapshot_changed, run=False)
                snapshot.subscribe(self._connection_changed, event_type=snapshot.SUB_META, run=False)
                if self.attr_name == "status" and isinstance(self._device.alive_pv, AliveSignal):  # it is not fake
                    self._device.alive_pv.watch(self._connection_changed)
                self._publish(self._device.monitored())
            return super().subscribe(callback, event_type=event_type, run=run)

    def _snapshot_changed(self, **_: Any) -> None:
        with self._publishing:
            self._publish(self._device.monitored())

    def _connection_changed(self, **_: Any) -> None:
        with self._publishing:  # what the monitor delivered last is older than a new connection
            self._publish(self._device.verified())

    def _publish(self, snapshot: Snapshot | None) -> None:
        """Call the subscribers if the value changed; the lock keeps a thread from publishing an older one."""
        if snapshot is not None:
            value = documents.recorded_value(snapshot, self.attr_name)
        elif self.attr_name == "status":
            value = "UNKNOWN"
        else:
            return
        if value != self._published:
            old, self._published = self._published, value
            self._run_subs(sub_type=self.SUB_VALUE, old_value=old, value=value, timestamp=time.time())

    def put(self, *_: Any, **__: Any) -> None:
        """Raise `ReadOnlyError`."""
        raise ReadOnlyError(f"{self.name} is read-only: set a value of the geometry instead")

    def set(self, *_: Any, **__: Any) -> Status:
        """Raise `ReadOnlyError`."""
        raise ReadOnlyError(f"{self.name} is read-only: set a value of the geometry instead")

    @property
    def _device(self) -> Any:
        return self.parent


_TEXT_GET = 0.1
"""How long a get of a whole text may take at least (s)."""


def _before_nul(raw: bytes) -> bytes:
    return raw.partition(b"\0")[0]


class TextSignal(GuardedReadOnly):
    """A monitored char waveform, read as text."""

    def __init__(self, read_pv: str, **kwargs: Any) -> None:
        super().__init__(read_pv, string=True, auto_monitor=True, **kwargs)

    def newest(self, deadline: float) -> str:
        """Return the newest value of the monitor, without asking the server.

        pyepics would build the text each time, character by character (0.3 ms), and where there is no
        value yet it would read one with the length of the previous value.

        Parameters
        ----------
        deadline
            Until when to wait for a first value (s of the monotonic clock).

        Raises
        ------
        NotConnectedError
            There is no value.
        DestroyedError
            The signal was destroyed.
        """
        began = time.monotonic()
        with self.in_use() as pv:
            event = pv._args  # what pyepics keeps of the last event
            if not self.wait_for(lambda: event["value"] is not None, deadline):
                raise_silent(self.pvname, deadline - began)
            value = event["value"]
            raw = _before_nul(bytes([value]) if isinstance(value, int) else value.tobytes())
            if len(raw) == 1:
                # ophyd reads the metadata with gets of one element, whose value can end up in place of the event's;
                # a get of pyepics would share their reply, and read what lies in memory behind it
                (whole,) = fresh_values([(self, CHAR)], max(deadline, time.monotonic() + _TEXT_GET))
                raw = _before_nul(whole)
        return raw.decode("utf-8", "replace")


class AliveSignal(GuardedReadOnly):
    """The monitored time of an IOC, whose advance proves that the IOC is alive.

    The values are received in the thread of libca: in those of ophyd a busy callback could delay old ones.
    """

    def __init__(self, read_pv: str, **kwargs: Any) -> None:
        self._heartbeat, self._heartbeat_lock = Heartbeat(), threading.Lock()
        self._watches: list[LivenessWatch] = []
        super().__init__(read_pv, auto_monitor=True, **kwargs)
        pv: Any = self._read_pv
        self._callback: Any = pv.add_callback(self._receive, with_ctrlvars=False)

    @property
    def newest(self) -> float:
        """The newest value that arrived (s since 1970); NaN if there is none."""
        return self._heartbeat.value

    @property
    def silence(self) -> float:
        """For how long the monitor has been silent (s); 0 where that is usual."""
        with self._heartbeat_lock:
            return self._heartbeat.silence(time.monotonic())

    def watch(self, changed: Callable[[], object]) -> None:
        """Call a function in a thread when the IOC becomes silent, or is no longer, until the signal is destroyed."""
        watch = LivenessWatch(lambda: self.silence, changed)
        self._watches.append(watch)
        watch.start(self.cl.thread_class, f"{self.name}.watch")

    def proves(self, value: float) -> bool:
        """Return whether the IOC is alive.

        Parameters
        ----------
        value
            The reply to a get that has just arrived (s since 1970).
        """
        now = time.monotonic()
        with self._heartbeat_lock:
            return self._heartbeat.see(value, now) or self._heartbeat.is_fresh(now)

    def destroy(self) -> None:
        """Disconnect."""
        for watch in self._watches:
            watch.end()
        pv: Any = self._read_pv
        pv.callbacks.pop(self._callback, None)
        super().destroy()

    def _receive(self, value: float | None = None, **_: Any) -> None:
        """Receive an update of the monitor."""
        if value is not None:
            with self._heartbeat_lock:
                self._heartbeat.see(value, time.monotonic())
