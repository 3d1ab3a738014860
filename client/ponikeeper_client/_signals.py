"""Signals of a `CalibrationData`: values that are set by transaction, values of the snapshot, monitored texts."""

import time
from typing import Any

from ophyd import EpicsSignalRO, Signal
from ophyd.areadetector.base import EpicsSignalWithRBV
from ophyd.status import Status
from ophyd.utils import ReadOnlyError

from ponikeeper_client._fresh_gets import raise_silent, wait_for


class ParameterSignal(EpicsSignalWithRBV):
    """One value of the active geometry; setting it is a transaction of one value.

    Whether it succeeded is decided by the result of the IOC, never by a comparison within a tolerance:
    ophyd derives one from the PV's precision, and a small change that was refused would count as done.
    """

    def set(self, value: Any, *, timeout: Any = None, settle_time: Any = None) -> Status:
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


class SnapshotSignal(Signal):
    """A value from the snapshot of its parent; read-only."""

    def get(self, **_: Any) -> Any:
        """Read the value as it is recorded; the errors are those of `CalibrationData.read_configuration`."""
        return self._device.read_configuration()[self.name]["value"]

    def read(self) -> dict[str, Any]:
        """Return value and timestamp."""
        return {self.name: self._device.read_configuration()[self.name]}

    def describe(self) -> dict[str, Any]:
        """Return the data key."""
        return {self.name: self._device.describe_configuration()[self.name]}

    def put(self, *_: Any, **__: Any) -> None:
        """Raise `ReadOnlyError`."""
        raise ReadOnlyError(f"{self.name} is read-only: set a value of the geometry instead")

    def set(self, *_: Any, **__: Any) -> Status:
        """Raise `ReadOnlyError`."""
        raise ReadOnlyError(f"{self.name} is read-only: set a value of the geometry instead")

    @property
    def _device(self) -> Any:
        return self.parent


class TextSignal(EpicsSignalRO):
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
        """
        began = time.monotonic()
        event: Any = self._read_pv._args  # type: ignore[union-attr]  # what pyepics keeps of the last event
        if not wait_for(lambda: event["value"] is not None, deadline):
            raise_silent(self.pvname, deadline - began)
        value = event["value"]
        if isinstance(value, int) and value:
            # ophyd reads the metadata with gets of one element, whose value can end up in place of the event's
            pv: Any = self._read_pv
            value = pv.get(count=pv.nelm, use_monitor=False, timeout=max(0.1, deadline - time.monotonic()))
            if value is None:
                raise_silent(self.pvname, deadline - began)
        raw: bytes = bytes([value]) if isinstance(value, int) else value.tobytes()
        return raw.partition(b"\0")[0].decode("utf-8", "replace")
